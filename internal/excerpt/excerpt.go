// Package excerpt shortens texts of others (a config's value, an error message,
// a list of reasons) so that they fit where they are shown.
//
// Takes:
//   - a text and a limit in bytes
//
// Gives:
//   - a text within the limit that does not end in the middle of a character
//
// Refuses:
//   - nothing; bytes that are not UTF-8 are left out when a text is cut
package excerpt

import (
	"fmt"
	"strconv"
	"strings"
)

// mark shows the reader that something is missing.
const mark = " ..."

// quotedBytes is how much of a text Quoted shows.
const quotedBytes = 80

// Of gives the text if it has at most limit bytes, else its beginning and
// " ...", which together have at most limit bytes. Where the limit leaves no
// room for the whole mark, a part of the mark is the result.
//
//	Of("abcdef", 6) is "abcdef"
//	Of("abcdef", 5) is "a ..."
func Of(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return Head(text, max(limit-len(mark), 0)) + mark[:min(len(mark), limit)]
}

// Head gives the first bytes of a text, at most limit, without a mark.
func Head(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}

// Quoted gives a user's text in quotes for an error message; of a text over 80
// bytes it gives the beginning and the length.
//
//	"shop.example.com"
//	"aaaaaaaa (80 bytes) aaaa"... (4096 bytes)
func Quoted(text string) string {
	if len(text) <= quotedBytes {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("%q... (%d bytes)", Head(text, quotedBytes), len(text))
}
