package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/migration"
)

// The leaf types that only this format has. All others are types of migration or of
// the standard library.
type (
	oldHost     migration.Host
	namespace   string
	headerValue string
	filePath    string
	probePath   string
	tries       int
	connections int
	requests    int
	failures    int
	streak      int
	status      int
	ratio       float64
	byteSize    int64
	cacheSize   int64
	seconds     time.Duration
	statusRange struct{ low, high int }
)

// leaf describes how to read a scalar.
type leaf struct {
	tags   []string // the YAML types that are allowed
	want   string   // the wanted type, for messages
	parse  func(text string) (any, error)
	schema map[string]any // its part of the JSON Schema
	secret bool           // no problem repeats the value
}

// leaves has every scalar type of the format.
var leaves = map[reflect.Type]leaf{
	reflect.TypeFor[bool](): {
		tags: []string{"!!bool"}, want: "true or false", schema: map[string]any{"type": "boolean"},
		parse: parser(parseBool),
	},
	reflect.TypeFor[migration.Name]():       textLeaf(migration.ParseName, `^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`),
	reflect.TypeFor[oldHost]():              textLeaf(parseOldHost, `^(\*\.)?[A-Za-z0-9_.-]+$`),
	reflect.TypeFor[migration.Host]():       textLeaf(migration.ParseHost, `^[A-Za-z0-9_.-]+$`),
	reflect.TypeFor[migration.Backend]():    textLeaf(migration.ParseBackend, `^(https?://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?$`),
	reflect.TypeFor[migration.PathPrefix](): textLeaf(migration.ParsePathPrefix, `^/[A-Za-z0-9/_.~!&'()*+,=:@-]*$`),
	reflect.TypeFor[migration.HeaderName](): textLeaf(migration.ParseHeaderName, `^[A-Za-z0-9]([A-Za-z0-9_-]{0,126}[A-Za-z0-9])?$`),
	reflect.TypeFor[migration.HashKey]():    textLeaf(migration.ParseHashKey, `^(ip|sticky|(header|cookie|sticky):.+)$`),
	reflect.TypeFor[migration.Pattern]():    secret(textLeaf(migration.ParsePattern, `^[ -~]{0,512}$`)),
	reflect.TypeFor[netip.Prefix]():         textLeaf(migration.ParseNetwork, `^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`),
	reflect.TypeFor[namespace]():            textLeaf(parseNamespace, namespacePattern.String()),
	reflect.TypeFor[headerValue]():          secret(textLeaf(parseHeaderValue, `^[ -~]{1,512}$`)),
	reflect.TypeFor[filePath]():             textLeaf(parseFilePath, `^/[!#-:<-Z^-z|~\[\]]*$`),
	reflect.TypeFor[probePath]():            textLeaf(parseProbePath, probePathPattern.String()),
	reflect.TypeFor[time.Duration]():        textLeaf(parseDuration, `^([0-9.]+(ms|s|m|h))+$`),
	reflect.TypeFor[migration.Protocol]():   enum(migration.ProtocolHTTP, migration.ProtocolGRPC),
	reflect.TypeFor[migration.Mode]():       enum(migration.ModeProxy, migration.ModeCanary),
	reflect.TypeFor[migration.Strategy](): enum(migration.StrategyWeight, migration.StrategyUserHash,
		migration.StrategyHeader, migration.StrategyIP),
	reflect.TypeFor[migration.NotifyFormat](): enum(migration.NotifySlack, migration.NotifyTeams, migration.NotifyJSON),
	reflect.TypeFor[urlFile]():                secret(textLeaf(parseURLFile, `^/[!#-:<-Z^-z|~\[\]]*$`)),
	reflect.TypeFor[entryKind]():              enum(entryKinds()...),
	reflect.TypeFor[migration.Side](): {
		tags: []string{"!!str"}, want: "text", parse: parser(migration.ParseTarget),
		schema: map[string]any{"enum": []string{"new_cluster", "old_cluster"}},
	},
	reflect.TypeFor[migration.Share](): {
		tags: []string{"!!int", "!!float"}, want: "a number", parse: parser(parsePercentage),
		schema: map[string]any{"type": "number", "minimum": 0, "maximum": 100},
	},
	reflect.TypeFor[ratio](): {
		tags: []string{"!!int", "!!float"}, want: "a number", parse: parser(parseRatio),
		schema: map[string]any{"type": "number", "minimum": 0, "maximum": 1},
	},
	reflect.TypeFor[tries]():       integer[tries](1, 10),
	reflect.TypeFor[connections](): integer[connections](1, 10000),
	reflect.TypeFor[requests]():    integer[requests](1, 1000000),
	reflect.TypeFor[failures]():    integer[failures](1, 100000),
	reflect.TypeFor[streak]():      integer[streak](1, 100),
	reflect.TypeFor[status]():      integer[status](400, 599),
	reflect.TypeFor[byteSize]():    textOrInteger(parseByteSize, `^(0|[1-9][0-9]*)[kKmMgG]?$`, 0, maxBody),
	reflect.TypeFor[skipPattern](): textLeaf(parseSkipPattern, skipPatternForm.String()),
	reflect.TypeFor[cacheSize]():   textOrInteger(parseCacheSize, `^[1-9][0-9]*[kKmMgG]?$`, minCache, maxBody),
	reflect.TypeFor[seconds]():     textOrInteger(parseSeconds, `^([0-9.]+(ms|s|m|h))+$`, 1, 86400),
	reflect.TypeFor[statusRange](): textOrInteger(parseStatusRange, statusRangePattern.String(), 100, 599),
}

func parser[T any](parse func(string) (T, error)) func(string) (any, error) {
	return func(text string) (any, error) { return parse(text) }
}

func textLeaf[T any](parse func(string) (T, error), pattern string) leaf {
	return leaf{
		tags: []string{"!!str"}, want: "text", parse: parser(parse),
		schema: map[string]any{"type": "string", "pattern": pattern},
	}
}

// secret is for the values of header rules: a client that knows one can use the rule.
func secret(l leaf) leaf {
	l.secret = true
	return l
}

func enum[T ~string](values ...T) leaf {
	names := make([]string, len(values))
	for i, value := range values {
		names[i] = string(value)
	}
	parse := func(text string) (any, error) {
		for _, value := range values {
			if text == string(value) {
				return value, nil
			}
		}
		return nil, fmt.Errorf("%s is not one of %s%s", excerpt.Quoted(text), strings.Join(names, ", "), probably(text, names))
	}
	return leaf{tags: []string{"!!str"}, want: "text", parse: parse, schema: map[string]any{"enum": names}}
}

func integer[T ~int](low, high int) leaf {
	parse := func(text string) (any, error) {
		number, err := parseInteger(text, low, high)
		return T(number), err
	}
	return leaf{
		tags: []string{"!!int"}, want: "a whole number", parse: parse,
		schema: map[string]any{"type": "integer", "minimum": low, "maximum": high},
	}
}

func textOrInteger[T any](parse func(string) (T, error), pattern string, low, high int) leaf {
	return leaf{
		tags: []string{"!!int", "!!str"}, want: "a whole number or text", parse: parser(parse),
		schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "integer", "minimum": low, "maximum": high},
			map[string]any{"type": "string", "pattern": pattern},
		}},
	}
}

// parseBool accepts one spelling of each value; YAML 1.1 has six spellings of true.
func parseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, fmt.Errorf("write true or false, not %s", text)
	}
	return text == "true", nil
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// parseInteger refuses 0x10, 010 and 1_000, because their value depends on the
// version of YAML.
func parseInteger(text string, low, high int) (int, error) {
	number, err := strconv.Atoi(text)
	if decimal.MatchString(text) && (err != nil || number < low || number > high) {
		return 0, fmt.Errorf("%s is out of range: use %d to %d", text, low, high)
	}
	if !decimal.MatchString(text) {
		return 0, fmt.Errorf("%s is not a number from %d to %d: write digits only", excerpt.Quoted(text), low, high)
	}
	return number, nil
}

func parsePercentage(text string) (migration.Share, error) {
	if len(text) > 1 && text[0] == '0' && text[1] != '.' {
		return 0, fmt.Errorf("%s is not a percentage: a leading 0 can be read as octal, leave it out", text)
	}
	return migration.ParseShare(text)
}

var ratioPattern = regexp.MustCompile(`^(0|1|[01]\.[0-9]{1,6})$`)

func parseRatio(text string) (ratio, error) {
	value, err := strconv.ParseFloat(text, 64)
	if !ratioPattern.MatchString(text) || err != nil || value > 1 {
		return 0, fmt.Errorf("%s is not a ratio: write a number from 0 to 1, like 0.25", text)
	}
	return ratio(value), nil
}

func parseOldHost(text string) (oldHost, error) {
	host, err := migration.ParseOldHost(text)
	return oldHost(host), err
}

var namespacePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func parseNamespace(text string) (namespace, error) {
	if !namespacePattern.MatchString(text) {
		return "", fmt.Errorf("%s is not a namespace: use 1 to 63 lower-case letters, digits and -", excerpt.Quoted(text))
	}
	return namespace(text), nil
}

func parseHeaderValue(text string) (headerValue, error) {
	value, err := migration.ParseHeaderValue(text)
	return headerValue(value), err
}

// parseFilePath accepts only paths that nginx text can contain without quotes.
func parseFilePath(text string) (filePath, error) {
	for _, c := range text {
		if c <= ' ' || c > '~' || strings.ContainsRune("\"'`{};$\\", c) {
			return "", fmt.Errorf("%s is not a file path: character %q is not allowed; use printable ASCII without quotes, braces, ';', '$', '\\' and space", excerpt.Quoted(text), c)
		}
	}
	if !strings.HasPrefix(text, "/") || len(text) > 1024 {
		return "", fmt.Errorf("%s is not a file path: write an absolute one, at most 1024 characters", excerpt.Quoted(text))
	}
	return filePath(text), nil
}

var probePathPattern = regexp.MustCompile(`^/[A-Za-z0-9/_.~!&'()*+,=:@%?-]*$`)

func parseProbePath(text string) (probePath, error) {
	if !probePathPattern.MatchString(text) || len(text) > 1024 {
		return "", fmt.Errorf("%s is not a path to probe: begin with / and use at most 1024 letters, digits and /_.~!&'()*+,=:@%%?-", excerpt.Quoted(text))
	}
	return probePath(text), nil
}

func parseDuration(text string) (time.Duration, error) {
	duration, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s is not a duration: write it like 30s, 500ms or 1m30s", excerpt.Quoted(text))
	}
	if duration < time.Millisecond || duration > time.Hour {
		return 0, fmt.Errorf("%s is out of range: a duration goes from 1ms to 1h", excerpt.Quoted(text))
	}
	if duration%time.Millisecond != 0 {
		return 0, fmt.Errorf("%s is too fine: the smallest step is 1ms", excerpt.Quoted(text))
	}
	return duration, nil
}

// parseSeconds reads a number of seconds, as in the original format, or a duration.
func parseSeconds(text string) (seconds, error) {
	if decimal.MatchString(text) {
		number, err := parseInteger(text, 1, 86400)
		return seconds(number) * seconds(time.Second), err
	}
	duration, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is not a time: write whole seconds like 60, or a duration like 90s or 5m", excerpt.Quoted(text))
	case duration < time.Second || duration > 24*time.Hour:
		return 0, fmt.Errorf("%s is out of range: use 1s to 24h", excerpt.Quoted(text))
	case duration%time.Second != 0:
		return 0, fmt.Errorf("%s is too fine: the smallest step is 1s", excerpt.Quoted(text))
	}
	return seconds(duration), nil
}

// maxBody is the largest max_body_size in bytes: 1 TiB, much more than any body and
// much less than an overflow.
const maxBody = 1 << 40

var sizePattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,12})([kmg]?)$`)

func parseByteSize(text string) (byteSize, error) {
	match := sizePattern.FindStringSubmatch(strings.ToLower(text))
	if match == nil {
		return 0, fmt.Errorf("%s is not a size: write bytes, or a whole number with k, m or g, like 10m", excerpt.Quoted(text))
	}
	number, err := strconv.ParseInt(match[1], 10, 64)
	unit := map[string]int64{"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[match[2]]
	if err != nil || number > maxBody/unit {
		return 0, fmt.Errorf("%s is out of range: the largest limit is 1024g; 0 is no limit", text)
	}
	return byteSize(number * unit), nil
}

// minCache is the smallest cache_size in bytes, 1 MiB: less would hold a few answers only.
const minCache = 1 << 20

func parseCacheSize(text string) (cacheSize, error) {
	size, err := parseByteSize(text)
	if err == nil && size < minCache {
		err = fmt.Errorf("%s is out of range: the smallest cache is 1m; a service without cache keeps nothing", text)
	}
	return cacheSize(size), err
}

var statusRangePattern = regexp.MustCompile(`^([1-5][0-9]{2})(-([1-5][0-9]{2}))?$`)

func parseStatusRange(text string) (statusRange, error) {
	match := statusRangePattern.FindStringSubmatch(text)
	if match == nil {
		return statusRange{}, fmt.Errorf("%s is not a range of statuses: write it like 200-399 or 200, from 100 to 599", excerpt.Quoted(text))
	}
	low, high := match[1], match[3]
	if high == "" {
		high = low
	}
	if high < low { // three digits each, so texts compare as numbers
		return statusRange{}, fmt.Errorf("%s is not a range of statuses: the lower one comes first", excerpt.Quoted(text))
	}
	return statusRange{number(low), number(high)}, nil
}

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // statusRangePattern has matched three digits
	return n
}
