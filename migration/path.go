package migration

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// PathPrefix is an absolute path without trailing slash, or "/". It matches element
// by element, as pathType Prefix of Kubernetes does: "/api" matches "/api" and
// "/api/x", but not "/apix".
type PathPrefix string

var pathPattern = regexp.MustCompile(`^/[A-Za-z0-9/_.~!&'()*+,=:@-]*$`)

// maxPathPrefix is the maximum length of a prefix. nginx 1.22 stores the length of a
// location (here the prefix and a slash) in one byte, and compares only a part of a
// longer location.
const maxPathPrefix = 254

// ParsePathPrefix reads a path prefix. It ignores a trailing slash, as Kubernetes
// does.
func ParsePathPrefix(text string) (PathPrefix, error) {
	switch {
	case !strings.HasPrefix(text, "/"):
		return "", fmt.Errorf("%s is not a path: it must begin with /", excerpt.Quoted(text))
	case len(text) > maxPathPrefix:
		return "", fmt.Errorf("%s is not a path: longer than %d characters", excerpt.Quoted(text), maxPathPrefix)
	case !pathPattern.MatchString(text):
		return "", fmt.Errorf("%s is not a path: use letters, digits and /_.~!&'()*+,=:@- only; the decoded path is compared, so do not use %%", excerpt.Quoted(text))
	}
	for segment := range strings.SplitSeq(text[1:], "/") {
		if segment == "." || segment == ".." {
			return "", fmt.Errorf("%s is not a path: %q is resolved before matching, so it can never match", excerpt.Quoted(text), segment)
		}
	}
	if strings.Contains(text, "//") {
		return "", fmt.Errorf("%s is not a path: // is merged before matching, so it can never match", excerpt.Quoted(text))
	}
	if text == "/" {
		return "/", nil
	}
	return PathPrefix(strings.TrimSuffix(text, "/")), nil
}

// Matches tells whether a normalized path is the prefix or is below it.
func (p PathPrefix) Matches(path string) bool {
	if p == "/" {
		return true
	}
	rest, ok := strings.CutPrefix(path, string(p))
	return ok && (rest == "" || rest[0] == '/')
}

// MatchesLoosely tells whether a normalized path begins with the text of the
// prefix, upper and lower case of ASCII alike: "/api" matches "/apix" and "/API/x".
func (p PathPrefix) MatchesLoosely(path string) bool {
	return len(path) >= len(p) && foldASCII(path[:len(p)]) == foldASCII(string(p))
}

// foldASCII is lower case as nginx has it: other letters stay as they are.
func foldASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// NormalizePath gives the path that nginx compares with locations: without query and
// fragment, percent-decoded once, with "." and ".." resolved and slashes merged.
// "/a//b/%2e%2e/c?q" becomes "/a/c". The result ok is false if nginx answers 400: for
// a path that is not absolute, an invalid %XX, a NUL, or a ".." above the root. The
// caller must take the path out of a target in absolute form ("http://a/b"), as nginx
// does.
//
// See ngx_http_parse_complex_uri in src/http/ngx_http_parse.c of nginx.
func NormalizePath(target string) (path string, ok bool) {
	if end := strings.IndexAny(target, "?#"); end >= 0 {
		target = target[:end]
	}
	if !strings.HasPrefix(target, "/") {
		return "", false
	}
	decoded, ok := percentDecode(target)
	if !ok {
		return "", false
	}
	return resolveDots(decoded)
}

func percentDecode(text string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2]) {
				return "", false
			}
			c = unhex(text[i+1])<<4 | unhex(text[i+2])
			i += 2
		}
		if c == 0 {
			return "", false
		}
		out.WriteByte(c)
	}
	return out.String(), true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// resolveDots resolves "." and ".." and merges slashes. The result has a trailing
// slash if the path ends with a slash or with a dot segment.
func resolveDots(path string) (string, bool) {
	var kept []string
	segments := strings.Split(path[1:], "/")
	for _, segment := range segments {
		switch segment {
		case "", ".":
		case "..":
			if len(kept) == 0 {
				return "", false
			}
			kept = kept[:len(kept)-1]
		default:
			kept = append(kept, segment)
		}
	}
	out := "/" + strings.Join(kept, "/")
	last := segments[len(segments)-1]
	if (last == "" || last == "." || last == "..") && out != "/" {
		out += "/"
	}
	return out, true
}
