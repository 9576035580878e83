package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// fields are the raw values of one line.
type fields struct {
	backend, token, service, requestID, host  []byte
	requestTime, addresses, cache             []byte
	statuses, connects, headers, responses    []byte
	requestLength, sent                       []byte
	grpcStatus                                []byte
	hasBackend, hasToken, hasUpstream, hasHdr bool
	isGRPC                                    bool
	stream                                    []byte
}

var (
	errNoRequest = errors.New(`no quoted request: the line does not begin as 'ADDRESS - USER [TIME] "REQUEST" STATUS BYTES'`)
	errNoFields  = errors.New("backend, decision or upstream_status is missing: the log_format is not the one of this proxy")
)

// Parse reads one line, with or without its line break, in the format
//
//	192.0.2.1 - - [01/Jan/2024:12:00:00 +0000] "GET /api HTTP/1.1" 200 12
//	backend="old_backend" upstream_response_time=0.030, 0.002 : 0.005
//	request_time=0.040 service="api" decision="bucket/12/34"
//	upstream_addr="192.0.2.7:443, 192.0.2.8:443 : 10.0.0.3:80"
//	upstream_status="502, 502 : 200" upstream_connect_time="-, 0.001 : 0.000"
//	host="api.example" request_id="6f1c"
//
// (one line in the log). Fields after $body_bytes_sent may have any order, and
// unknown ones are skipped. upstream_header_time, if the line has it,
// distinguishes a backend's own 502 from a broken connection. Lines of services with a
// cache also have cache="new_backend HIT", and those of gRPC grpc_status="14".
//
// No client can forge a field: nginx writes `"`, `\` and control characters in
// a value as \xHH, so the first raw quote begins the request line and the
// second ends it. Parse allocates nothing unless it fails. The error names the
// field that was not understood.
func Parse(line []byte) (Event, error) {
	event := Event{Rule: -1, Bucket: -1}
	line = bytes.TrimRight(line, "\r\n")
	request, rest, err := cutRequest(line)
	if err != nil {
		return event, err
	}
	event.Method, event.Target = readRequest(request)
	event.Logged = loggedAt(line)
	if event.Status, rest, err = statusAndBytes(rest); err != nil {
		return event, err
	}
	var f fields
	if err := f.read(rest); err != nil {
		return event, err
	}
	return event, event.fill(&f)
}

// loggedAt is the text between the brackets before the request line; nil if there
// are none. A client cannot forge it: a quote in the user's name is written as \x22.
func loggedAt(line []byte) []byte {
	head := line[:bytes.IndexByte(line, '"')]
	opening, closing := bytes.LastIndexByte(head, '['), bytes.LastIndexByte(head, ']')
	if opening < 0 || closing < opening {
		return nil
	}
	return head[opening+1 : closing]
}

// cutRequest finds the quoted request, and the rest of the line after it.
func cutRequest(line []byte) (request, rest []byte, err error) {
	opening := bytes.IndexByte(line, '"')
	if opening < 0 {
		return nil, nil, errNoRequest
	}
	closing := bytes.IndexByte(line[opening+1:], '"')
	if closing < 0 {
		return nil, nil, errNoRequest
	}
	return line[opening+1 : opening+1+closing], line[opening+1+closing+1:], nil
}

// readRequest gives "GET" and "/api" of "GET /api HTTP/1.1".
func readRequest(request []byte) (method, target []byte) {
	method, rest, _ := bytes.Cut(request, []byte(" "))
	target, _, _ = bytes.Cut(rest, []byte(" "))
	return method, target
}

// statusAndBytes reads ` 200 12 ` and gives the rest of the line.
func statusAndBytes(rest []byte) (int, []byte, error) {
	status, rest := word(rest)
	_, rest = word(rest)
	code, ok := number(status)
	if !ok {
		return 0, nil, fmt.Errorf("status %q is not a number", status)
	}
	return code, rest, nil
}

// word cuts off the next word.
func word(text []byte) (first, rest []byte) {
	text = bytes.TrimLeft(text, " ")
	end := bytes.IndexByte(text, ' ')
	if end < 0 {
		return text, nil
	}
	return text[:end], text[end:]
}

// read reads `key="value"` and `key=value` pairs.
func (f *fields) read(rest []byte) error {
	for {
		rest = bytes.TrimLeft(rest, " ")
		if len(rest) == 0 {
			break
		}
		equals := bytes.IndexByte(rest, '=')
		if equals <= 0 {
			return fmt.Errorf("%.40q is not a key=value field", rest)
		}
		value, after, ok := fieldValue(rest[equals+1:])
		if !ok {
			return fmt.Errorf("the value of %.40q has no closing quote", rest[:equals])
		}
		f.set(rest[:equals], value)
		rest = after
	}
	if !f.hasBackend || !f.hasToken || !f.hasUpstream {
		return errNoFields
	}
	return nil
}

// fieldValue reads a quoted or a bare value. A bare value is a list of times
// ("0.001, - : 0.003") and may contain blanks: it ends at the first letter of
// the next key.
func fieldValue(text []byte) (value, rest []byte, ok bool) {
	if len(text) > 0 && text[0] == '"' {
		end := bytes.IndexByte(text[1:], '"')
		if end < 0 {
			return nil, nil, false
		}
		return text[1 : 1+end], text[end+2:], true
	}
	end := 0
	for end < len(text) && !letter(text[end]) {
		end++
	}
	return bytes.TrimRight(text[:end], " "), text[end:], true
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }

func (f *fields) set(key, value []byte) {
	switch string(key) {
	case "backend":
		f.backend, f.hasBackend = value, true
	case "decision":
		f.token, f.hasToken = value, true
	case "service":
		f.service = value
	case "host":
		f.host = value
	case "request_id":
		f.requestID = value
	case "request_time":
		f.requestTime = value
	case "upstream_addr":
		f.addresses = value
	case "upstream_status":
		f.statuses, f.hasUpstream = value, true
	case "upstream_connect_time":
		f.connects = value
	case "upstream_header_time":
		f.headers, f.hasHdr = value, true
	case "request_length":
		f.requestLength = value
	case "upstream_bytes_sent":
		f.sent = value
	case "upstream_response_time":
		f.responses = value
	case "stream":
		f.stream = value
	case "cache":
		f.cache = value
	case "grpc_status":
		f.grpcStatus, f.isGRPC = value, true
	}
}

func (e *Event) fill(f *fields) error {
	e.Service, e.RequestID, e.Host = orEmpty(f.service), orEmpty(f.requestID), orEmpty(f.host)
	if elapsed, ok := seconds(f.requestTime); ok {
		e.RequestTime = elapsed
	}
	var err error
	if e.Answered, err = answered(orEmpty(f.backend)); err != nil {
		return err
	}
	if err := e.readToken(orEmpty(f.token)); err != nil {
		return err
	}
	e.readCache(orEmpty(f.cache))
	e.Stream = len(orEmpty(f.stream)) > 0
	if f.isGRPC { // a stream may last for hours: only the time to its beginning is a latency
		f.responses = f.headers
	}
	e.readTries(f)
	if f.isGRPC {
		e.readGRPC(orEmpty(f.grpcStatus))
	}
	return nil
}

// orEmpty turns nginx's "-", which stands for an unset variable, into "".
func orEmpty(value []byte) []byte {
	if len(value) == 1 && value[0] == '-' {
		return nil
	}
	return value
}

func answered(backend []byte) (migration.Side, error) {
	switch string(backend) {
	case "":
		return "", nil
	case "new_backend":
		return migration.New, nil
	case "old_backend":
		return migration.Old, nil
	}
	return "", fmt.Errorf("backend %q is neither new_backend nor old_backend", backend)
}

// number reads up to nine digits.
func number(text []byte) (int, bool) {
	if len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// seconds reads a time of nginx: seconds with three decimals, "0.125".
func seconds(text []byte) (time.Duration, bool) {
	point := bytes.IndexByte(text, '.')
	if point < 0 || len(text)-point != 4 {
		return 0, false
	}
	whole, ok := number(text[:point])
	millis, fine := number(text[point+1:])
	if !ok || !fine {
		return 0, false
	}
	return time.Duration(whole)*time.Second + time.Duration(millis)*time.Millisecond, true
}
