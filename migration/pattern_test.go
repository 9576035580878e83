package migration_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, pcre, match, miss string }{
		{`^beta-[0-9]+$`, `\A(?:\Abeta\x2d(?:[\x30-\x39])+\z)`, "beta-12", "beta-12\n"},
		{`a.c`, `\A[\x00-\xff]*?(?:a[\x00-\xff]c)`, "xa\xe9cx", "ac"},
		{`(?i)k`, `\A[\x00-\xff]*?[Kk]`, "K", "\u212a"},
		{`[^a]`, `\A[\x00-\xff]*?[\x00-\x60\x62-\xff]`, "\xff", "a"},
		{`a|bc`, `\A[\x00-\xff]*?(?:a|bc)`, "bc", "b"},
		{`a{2,3}?b`, `\A[\x00-\xff]*?(?:(?:a){2,3}b)`, "aab", "ab"},
		{`\bnew\b`, `\A[\x00-\xff]*?(?:\bnew\b)`, "the new one", "renewed"},
		{`\$x`, `\A[\x00-\xff]*?\x24x`, "$x", "x"},
		{`\Q.*\E`, `\A[\x00-\xff]*?\x2e\x2a`, ".*", "a"},
		{``, `\A[\x00-\xff]*?(?:)`, "anything", ""},
		{`(.*a)`, `\A(?:(?:(?:[\x00-\xff])*a))`, "ba", "b"},
		{`(?s).+a`, `\A(?:(?:[\x00-\xff])+a)`, "ba", "a"},
		{`^a|b`, `\A[\x00-\xff]*?(?:(?:\Aa)|b)`, "cb", "ca"},
		{`a$`, `\A[\x00-\xff]*?(?:a\z)`, strings.Repeat("a", migration.LongestMatched), strings.Repeat("a", migration.LongestMatched+1)},
	} {
		t.Run(c.pattern, func(t *testing.T) {
			t.Parallel()
			pattern, err := migration.ParsePattern(c.pattern)
			require.NoError(t, err)
			require.Equal(t, c.pcre, pattern.PCRE())
			require.Equal(t, c.pattern, pattern.String())
			require.True(t, pattern.Match(c.match))
			if c.miss != "" {
				require.False(t, pattern.Match(c.miss))
			}
		})
	}
}

func TestPatternRefuses(t *testing.T) {
	t.Parallel()
	runParseCases(t, []parseCase{
		{text: `(`, refused: "missing closing )"},
		{text: `(?=a)`, refused: "Perl syntax"},
		{text: `(?!a)`, refused: "Perl syntax"},
		{text: `(a)\1`, refused: "escape"},
		{text: `a++`, refused: "repetition"},
		{text: `a{1001}`, refused: "repeat"},
		{text: `(?m)^a`, refused: "one line"},
		{text: `(?m)a$`, refused: "one line"},
		{text: `\xe9`, refused: "not ASCII"},
		{text: `[\xe0-\xff]`, refused: "not ASCII"},
		{text: `\pL`, refused: "not ASCII"},
		{text: `é`, refused: "printable ASCII"},
		{text: "a\tb", refused: "printable ASCII"},
		{text: "a\nb", refused: "printable ASCII"},
		{text: strings.Repeat("a", 513), refused: "512"},
		{text: strings.Repeat("(", 201) + strings.Repeat(")", 201), refused: "more than 200 groups"},
		{text: strings.Repeat("(", 199) + strings.Repeat(")", 199), want: strings.Repeat("(", 199) + strings.Repeat(")", 199)},
	}, migration.ParsePattern, migration.Pattern.String)
}

// TestPatternHasRoomInNginx checks the limit on the text that nginx gets, whose words
// have at most 4,096 bytes: the largest pattern that is accepted is below it.
func TestPatternHasRoomInNginx(t *testing.T) {
	t.Parallel()
	largest, refused := 0, 0
	for n := 1; 2*n <= 512; n++ {
		pattern, err := migration.ParsePattern(strings.Repeat(`\W`, n))
		if err != nil {
			require.ErrorContains(t, err, "too large for nginx")
			refused++
			continue
		}
		require.Zero(t, refused, "a larger one was refused")
		largest = len(pattern.PCRE())
	}
	require.Positive(t, refused)
	require.InDelta(t, 3<<10, largest, 64, "bytes")
	require.LessOrEqual(t, largest, 3<<10, "bytes")
}

var inert = regexp.MustCompile(`^[A-Za-z0-9\\()\[\]?:|*+{},!-]*$`)

func TestExactPCREMatchesItselfOnly(t *testing.T) {
	t.Parallel()
	re := regexp.MustCompile(migration.ExactPCRE(`n$w.*;"{`))
	require.True(t, re.MatchString(`n$w.*;"{`))
	require.False(t, re.MatchString(`N$w.*;"{`))
	require.False(t, re.MatchString("n$w.*;\"{\n"))
	require.Regexp(t, inert, migration.ExactPCRE(`n$w.*;"{ '`))
}

// FuzzPattern: the PCRE text matches the same values as the pattern, if Go can compile
// it, and it has no character with a meaning in nginx text.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{`^beta-[0-9]+$`, `(?i)ab|c{2,}`, `[^a-c]\b.`, `(?i)[^ks]`, `(a|)*b`, `\W\S\D`, `[[:alpha:]]?$^`} {
		f.Add(seed, "beta-1")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		pattern, err := migration.ParsePattern(text)
		if err != nil {
			return
		}
		require.Regexp(t, inert, pattern.PCRE())
		if strings.Contains(pattern.PCRE(), "(?!)") || strings.ContainsAny(value, "\n\r\x00") {
			return // Go does not support (?!), and a header's value is one line
		}
		re, err := regexp.Compile(pattern.PCRE())
		require.NoError(t, err)
		require.Equal(t, re.MatchString(bytesAsRunes(value)), pattern.Match(value))
	})
}

func bytesAsRunes(text string) string {
	var out strings.Builder
	for i := range len(text) {
		out.WriteRune(rune(text[i]))
	}
	return out.String()
}
