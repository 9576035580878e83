package migration

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Pattern is a regular expression over the bytes of a header. It has only elements
// with the same meaning in Go and in PCRE: literals and classes of ASCII, '.',
// repetition, alternation, groups, ^, $, \b and (?i). ParsePattern refuses all others,
// so that explain and nginx give the same result.
type Pattern struct {
	source string
	pcre   string
	re     *regexp.Regexp
}

// The limits are below those of nginx: 4096 bytes for one argument, 65536 bytes for
// an expression that PCRE has compiled (each repetition is a copy), and 250 nested
// groups.
const (
	maxPCRE     = 3 << 10
	maxCompiled = 32 << 10
	maxNested   = 200
)

// ParsePattern reads a pattern of at most 512 ASCII characters. A client that knows
// what it matches can use the rule, so no error repeats it.
func ParsePattern(text string) (Pattern, error) {
	if len(text) > 512 {
		return Pattern{}, errors.New("the pattern is longer than 512 characters")
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return Pattern{}, fmt.Errorf("character %d of the pattern is not printable ASCII", i+1)
		}
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return Pattern{}, patternError(text, err)
	}
	var out strings.Builder
	out.WriteString(start(tree))
	if err := writePCRE(&out, tree); err != nil {
		return Pattern{}, fmt.Errorf("not a pattern for headers: %w", err)
	}
	if out.Len() > maxPCRE || compiledSize(tree) > maxCompiled {
		return Pattern{}, errors.New("the pattern is too large for nginx: repeat less, or use fewer classes like \\W")
	}
	if nested(out.String()) > maxNested {
		return Pattern{}, fmt.Errorf("the pattern has more than %d groups inside one another, which nginx may refuse; use fewer nested groups", maxNested)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return Pattern{}, patternError(text, err)
	}
	return Pattern{source: text, pcre: out.String(), re: re}, nil
}

// patternError says what is wrong and where, without the part that is wrong.
func patternError(text string, err error) error {
	var wrong *syntax.Error
	if !errors.As(err, &wrong) {
		return errors.New("not a pattern")
	}
	return fmt.Errorf("not a pattern: %s, at character %d", wrong.Code, max(strings.Index(text, wrong.Expr), 0)+1)
}

// String is the pattern as the config has it.
func (p Pattern) String() string { return p.source }

// PCRE is the same pattern in an alphabet that has no meaning in nginx text: every
// character that is not a letter or digit is written as \xHH. The pattern is
// anchored, so that PCRE's limits apply to the whole value: without an anchor PCRE
// counts again for each position where a match may begin.
func (p Pattern) PCRE() string { return p.pcre }

// LongestMatched is the maximum length in bytes of a value that a pattern can match:
// the limit for a cookie in browsers. The time of PCRE for an ordinary pattern grows
// with the square of the length; for 32 KB it is seconds.
const LongestMatched = 4096

// Match tells whether the pattern matches anywhere in the bytes of a header's value.
func (p Pattern) Match(value string) bool {
	return len(value) <= LongestMatched && p.re.MatchString(latin1(value))
}

// MarshalText gives the pattern as text, so that the table's digest includes it.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.source), nil }

// ExactPCRE is an anchored expression that matches only the text. nginx compares a
// literal in a map without case, so a literal cannot replace it.
func ExactPCRE(text string) string { return `\A` + LiteralPCRE(text) + `\z` }

// LiteralPCRE is an expression that matches the text, in the alphabet of
// Pattern.PCRE.
func LiteralPCRE(text string) string {
	var out strings.Builder
	for i := range len(text) {
		writeByte(&out, rune(text[i]))
	}
	return out.String()
}

// latin1 makes a character of each byte, as PCRE does without UTF.
func latin1(value string) string {
	for i := range len(value) {
		if value[i] >= 0x80 {
			runes := make([]rune, len(value))
			for j := range len(value) {
				runes[j] = rune(value[j])
			}
			return string(runes)
		}
	}
	return value
}

// start gives the beginning of the anchored expression. A pattern that begins with
// ^, .* or .+ can only match from the first byte; any other pattern may match
// anywhere.
func start(tree *syntax.Regexp) string {
	first := tree
	for first.Op == syntax.OpConcat || first.Op == syntax.OpCapture {
		first = first.Sub[0]
	}
	repeats := first.Op == syntax.OpStar || first.Op == syntax.OpPlus
	if first.Op == syntax.OpBeginText || repeats && anyByte(first.Sub[0]) {
		return `\A`
	}
	return `\A[\x00-\xff]*?`
}

func anyByte(node *syntax.Regexp) bool {
	return node.Op == syntax.OpAnyChar || node.Op == syntax.OpAnyCharNotNL
}

func writePCRE(out *strings.Builder, node *syntax.Regexp) error {
	switch node.Op {
	case syntax.OpNoMatch:
		out.WriteString(`(?!)`)
	case syntax.OpEmptyMatch:
		out.WriteString(`(?:)`)
	case syntax.OpLiteral:
		return writeLiteral(out, node)
	case syntax.OpCharClass:
		return writeClass(out, node.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		out.WriteString(`[\x00-\xff]`)
	case syntax.OpBeginText:
		out.WriteString(`\A`)
	case syntax.OpEndText:
		out.WriteString(`\z`)
	case syntax.OpWordBoundary:
		out.WriteString(`\b`)
	case syntax.OpNoWordBoundary:
		out.WriteString(`\B`)
	case syntax.OpCapture:
		return writeGroup(out, node.Sub, "", "")
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return writeGroup(out, node.Sub, "", quantifier(node))
	case syntax.OpConcat:
		return writeGroup(out, node.Sub, "", "")
	case syntax.OpAlternate:
		return writeGroup(out, node.Sub, "|", "")
	default:
		return fmt.Errorf("%s is not supported: a header's value is one line", node)
	}
	return nil
}

// compiledSize gives an upper limit for the bytes of a node that PCRE has compiled.
func compiledSize(node *syntax.Regexp) int {
	const class, group = 36, 8
	size := group + class
	if node.Op == syntax.OpLiteral {
		size += class * len(node.Rune)
	}
	for _, sub := range node.Sub {
		size += compiledSize(sub)
	}
	if node.Op == syntax.OpRepeat {
		size *= max(node.Min, node.Max, 1)
	}
	return size
}

// nested is the maximum number of groups inside one another. Each bracket in the
// expression belongs to a group, because a literal bracket is written as \xHH.
func nested(pcre string) int {
	deepest, open := 0, 0
	for i := range len(pcre) {
		switch pcre[i] {
		case '(':
			open++
		case ')':
			open--
		}
		deepest = max(deepest, open)
	}
	return deepest
}

func quantifier(node *syntax.Regexp) string {
	switch {
	case node.Op == syntax.OpStar:
		return "*"
	case node.Op == syntax.OpPlus:
		return "+"
	case node.Op == syntax.OpQuest:
		return "?"
	case node.Max < 0:
		return fmt.Sprintf("{%d,}", node.Min)
	}
	return fmt.Sprintf("{%d,%d}", node.Min, node.Max)
}

func writeGroup(out *strings.Builder, subs []*syntax.Regexp, separator, suffix string) error {
	out.WriteString("(?:")
	for i, sub := range subs {
		if i > 0 {
			out.WriteString(separator)
		}
		if err := writePCRE(out, sub); err != nil {
			return err
		}
	}
	out.WriteString(")" + suffix)
	return nil
}

func writeLiteral(out *strings.Builder, node *syntax.Regexp) error {
	for _, c := range node.Rune {
		if c > '~' {
			return errors.New("a character is not ASCII")
		}
		upper, lower := c&^0x20, c|0x20
		if node.Flags&syntax.FoldCase != 0 && upper >= 'A' && upper <= 'Z' {
			out.WriteString("[" + string(upper) + string(lower) + "]")
			continue
		}
		writeByte(out, c)
	}
	return nil
}

// writeClass writes the part of a class below 0x100, because a byte has no larger
// value. The class must have all of 0x80 to 0xff or nothing of it. Otherwise it was
// written with characters that are not ASCII, and these have several bytes.
func writeClass(out *strings.Builder, ranges []rune) error {
	var body strings.Builder
	for i := 0; i < len(ranges); i += 2 {
		low, high := ranges[i], min(ranges[i+1], 0xff)
		if low > 0xff {
			continue // (?i) adds letters outside Latin-1, such as U+212A for k
		}
		if low >= 0x80 || high >= 0x80 && high < 0xff {
			return fmt.Errorf("a class with characters that are not ASCII is not supported")
		}
		fmt.Fprintf(&body, `\x%02x-\x%02x`, low, high)
	}
	if body.Len() == 0 {
		out.WriteString(`(?!)`)
		return nil
	}
	out.WriteString("[" + body.String() + "]")
	return nil
}

func writeByte(out *strings.Builder, c rune) {
	if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
		out.WriteRune(c)
		return
	}
	fmt.Fprintf(out, `\x%02x`, c)
}
