package config

import (
	"fmt"
	"regexp"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// skipPattern is a pattern of compare.skip, see compare.Skip.
type skipPattern string

var skipPatternForm = regexp.MustCompile(`^[/*][!-~]{0,199}$`)

func parseSkipPattern(text string) (skipPattern, error) {
	if !skipPatternForm.MatchString(text) {
		return "", fmt.Errorf("%s is no pattern of a path: begin with / or *, where * is any text, and use no spaces", excerpt.Quoted(text))
	}
	return skipPattern(text), nil
}
