package compare

import "strings"

// Routes are paths with placeholders where they name one of many things.
const (
	maxSegments = 8
	maxSegment  = 40
	// shortestHash is the number of hex digits from which a word is a hash.
	shortestHash = 8
)

// Route is the template of a path: digits become {n}, UUIDs {uuid}, hashes {hash}, mail
// addresses {mail}.
//
//	/catalog/4711                  /catalog/{n}
//	/static/app.3f9c2b1a.js        /static/app.{hash}.js
//	/users/ann@example.com/orders  /users/{mail}/orders
func Route(path string) string {
	segments := strings.Split(path, "/")
	if len(segments) > maxSegments+1 {
		segments = append(segments[:maxSegments+1:maxSegments+1], "…")
	}
	for i, segment := range segments {
		segments[i] = template(segment)
	}
	return strings.Join(segments, "/")
}

func template(segment string) string {
	if isUUID(segment) {
		return "{uuid}"
	}
	if strings.Contains(segment, "@") || strings.Contains(segment, "%40") {
		return "{mail}"
	}
	var out strings.Builder
	for rest := segment; rest != ""; {
		word := leadingWord(rest)
		if word == "" {
			out.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		out.WriteString(placeholder(word))
		rest = rest[len(word):]
	}
	if out.Len() > maxSegment {
		return "{text}"
	}
	return out.String()
}

// leadingWord is the letters and digits at the beginning.
func leadingWord(text string) string {
	end := 0
	for end < len(text) && (isDigit(text[end]) || isLetter(text[end])) {
		end++
	}
	return text[:end]
}

func placeholder(word string) string {
	digits, hex := 0, 0
	for i := range len(word) {
		if isDigit(word[i]) {
			digits++
		}
		if isHex(word[i]) {
			hex++
		}
	}
	switch {
	case digits == len(word):
		return "{n}"
	case digits > 0 && hex == len(word) && len(word) >= shortestHash:
		return "{hash}"
	case digits > 1 && len(word) >= 2*shortestHash: // base64 and the like
		return "{hash}"
	case digits > 2:
		return withoutNumbers(word)
	}
	return word
}

// withoutNumbers puts {n} for each run of digits: "order4711" is "order{n}".
func withoutNumbers(word string) string {
	var out strings.Builder
	for i := 0; i < len(word); i++ {
		if !isDigit(word[i]) {
			out.WriteByte(word[i])
		} else if i == 0 || !isDigit(word[i-1]) {
			out.WriteString("{n}")
		}
	}
	return out.String()
}

func isUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (text[i] == '-') || !dash && !isHex(text[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isHex(c byte) bool    { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
