package accesslog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"time"
)

// JSONWriter writes lines of nginx's log as one JSON object each.
type JSONWriter struct {
	writer io.Writer
	text   []byte
}

// NewJSONWriter makes a JSONWriter that writes to w.
func NewJSONWriter(w io.Writer) *JSONWriter { return &JSONWriter{writer: w} }

// Write takes whole lines. After an error none of them counts as written.
func (j *JSONWriter) Write(lines []byte) (int, error) {
	j.text = j.text[:0]
	for line := range bytes.Lines(lines) {
		j.text = append(AppendJSON(j.text, line), '\n')
	}
	if _, err := j.writer.Write(j.text); err != nil {
		return 0, err
	}
	return len(lines), nil
}

// jsonField is one member of the object of a line.
type jsonField struct {
	key   string
	value any
}

// AppendJSON appends a line as a JSON object. docs/operations.md has the fields; they are
// published: fields are added, but never renamed or removed. A line that Parse does not
// understand is an object with field "line".
func AppendJSON(text, line []byte) []byte {
	line = bytes.TrimRight(line, "\r\n")
	event, err := Parse(line)
	if err != nil {
		return appendObject(text, []jsonField{{"line", plainText(line)}})
	}
	fields := append(headFields(line), jsonField{"side", string(event.Answered)})
	if event.Reason != "" {
		fields = append(fields, jsonField{"reason", string(event.Reason)})
	}
	if event.Reason == ReasonBucket {
		fields = append(fields, jsonField{"bucket", int(event.Bucket)})
	}
	_, rest, _ := cutRequest(line)
	_, rest, _ = statusAndBytes(rest)
	return appendObject(text, append(fields, tailFields(rest)...))
}

// headFields are those before the pairs of key and value.
func headFields(line []byte) []jsonField {
	request, rest, _ := cutRequest(line)
	address, afterAddress := word(line)
	user, _, _ := bytes.Cut(bytes.TrimPrefix(afterAddress, []byte(" - ")), []byte(" ["))
	method, afterMethod, _ := bytes.Cut(request, []byte(" "))
	target, protocol, _ := bytes.Cut(afterMethod, []byte(" "))
	status, rest := word(rest)
	sent, _ := word(rest)
	return []jsonField{
		{"time", timeText(loggedAt(line))}, {"remote_addr", plainText(address)}, {"remote_user", plainText(user)},
		{"method", plainText(method)}, {"target", plainText(target)}, {"protocol", plainText(protocol)},
		{"status", json.Number(status)}, {"body_bytes_sent", json.Number(sent)},
	}
}

// timeText is a time of nginx's as RFC 3339 has it.
func timeText(text []byte) string {
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", string(text))
	if err != nil {
		return plainText(text)
	}
	return at.Format(time.RFC3339)
}

// tailFields are the pairs, in their order. Lists of nginx's, with a value for each try,
// stay texts.
func tailFields(rest []byte) (fields []jsonField) {
	for rest = bytes.TrimLeft(rest, " "); len(rest) > 0; rest = bytes.TrimLeft(rest, " ") {
		equals := bytes.IndexByte(rest, '=')
		key := string(rest[:equals])
		value, after, _ := fieldValue(rest[equals+1:]) // Parse has read it before
		rest = after
		if key == "request_time" {
			fields = append(fields, jsonField{key, json.Number(value)})
			continue
		}
		fields = append(fields, jsonField{key, plainText(value)})
	}
	return fields
}

// plainText undoes nginx's \xHH. What is no UTF-8 becomes U+FFFD. "-" is nginx's word for
// nothing.
func plainText(text []byte) string {
	if string(text) == "-" {
		return ""
	}
	var plain []byte
	for len(text) > 0 {
		if len(text) >= 4 && text[0] == '\\' && text[1] == 'x' {
			if char, err := hex.DecodeString(string(text[2:4])); err == nil {
				plain, text = append(plain, char...), text[4:]
				continue
			}
		}
		plain, text = append(plain, text[0]), text[1:]
	}
	return strings.ToValidUTF8(string(plain), "\ufffd")
}

// appendObject leaves empty texts out, and numbers that are none.
func appendObject(text []byte, fields []jsonField) []byte {
	text = append(text, '{')
	first := true
	for _, field := range fields {
		if field.value == "" || field.value == json.Number("") {
			continue
		}
		value, err := json.Marshal(field.value)
		if err != nil {
			continue
		}
		if !first {
			text = append(text, ',')
		}
		first = false
		key, _ := json.Marshal(field.key) // a text always has one
		text = append(append(append(text, key...), ':'), value...)
	}
	return append(text, '}')
}
