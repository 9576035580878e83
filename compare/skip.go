package compare

import "strings"

// usuallySkipped are GETs that change something: they end a session, use a token up, or
// take somebody off a list. In lower case.
var usuallySkipped = []string{"*/logout*", "*/signout*", "*/logoff*", "*token=*", "*unsubscribe*", "*/delete/*", "*confirm*="}

// Skip tells whether a target is never asked. A pattern is text in which * is any text; it
// is compared without case with the whole target, the query included.
func Skip(target string, patterns []string) bool {
	target = strings.ToLower(target)
	for _, pattern := range usuallySkipped {
		if matches(target, pattern) {
			return true
		}
	}
	for _, pattern := range patterns {
		if matches(target, strings.ToLower(pattern)) {
			return true
		}
	}
	return false
}

// matches reads the pattern from both ends, then finds the middle from the left.
func matches(text, pattern string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return text == pattern
	}
	if !strings.HasPrefix(text, first) || !strings.HasSuffix(text[len(first):], last) {
		return false
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}
