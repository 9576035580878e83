package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	link    = regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)\s]+))?\)`)
	code    = regexp.MustCompile("`[^`\n]*`") // no links in it
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	ignored = regexp.MustCompile("[^a-z0-9 _-]")
)

// TestLinksOfDocuments: each linked file exists, and each #part of it is a heading.
func TestLinksOfDocuments(t *testing.T) {
	t.Parallel()
	for _, document := range documentFiles(t) {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
			target := document
			if found[1] != "" {
				target = filepath.Join(filepath.Dir(document), found[1])
			}
			_, err := os.Stat(target)
			require.NoError(t, err, "%s: %s", document, found[0])
			if found[2] != "" {
				require.Contains(t, anchors(t, target), found[2], "%s: %s", document, found[0])
			}
		}
	}
}

func documentFiles(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/adr/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found)
		all = append(all, found...)
	}
	return all
}

// anchors are the anchors that GitHub makes from the headings of a document.
func anchors(t *testing.T, document string) []string {
	t.Helper()
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	var all []string
	for _, found := range heading.FindAllStringSubmatch(string(text), -1) {
		all = append(all, strings.ReplaceAll(ignored.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-"))
	}
	return all
}
