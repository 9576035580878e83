package sampling

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestParseHeader: what is refused is named, but never its value.
func TestParseHeader(t *testing.T) {
	t.Parallel()
	header, err := ParseHeader("Cookie:  a=b; c=d:e ")
	require.NoError(t, err)
	require.Equal(t, Header{"Cookie", "a=b; c=d:e"}, header)
	for text, want := range map[string]string{
		"secret":                           "no header",
		"se cret: secret":                  "no header",
		"Cookie:":                          "header Cookie: write a value",
		"Cookie: secret\r\nHost: a":        "header Cookie: write a value",
		"Cookie: " + longText("secret"):    "1 to 8192 characters",
		"host: secret":                     "header host: compare sets it itself",
		"X_Forwarded_For: secret":          "header X_Forwarded_For: compare sets it itself",
		"Content-Length: secret":           "compare sets it itself",
		"X-Migration-Compare: secret":      "compare sets it itself",
		"Transfer-Encoding: secret":        "compare sets it itself",
		"Accept-Encoding: secret-encoding": "compare sets it itself",
	} {
		_, err := ParseHeader(text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "secret")
	}
}

func longText(text string) string { return strings.Repeat(text, 2000) }
