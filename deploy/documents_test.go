package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/nginxgen"
)

var (
	link    = regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)\s]+))?\)`)
	code    = regexp.MustCompile("`[^`\n]*`") // no links in it
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	ignored = regexp.MustCompile("[^a-z0-9 _-]")
	goFile  = regexp.MustCompile("`([a-z0-9_/-]+/[a-z0-9_]+\\.go)`")
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

// TestGoFilesInDocuments: each Go file that a document names with its folder exists.
func TestGoFilesInDocuments(t *testing.T) {
	t.Parallel()
	for _, document := range documentFiles(t) {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, found := range goFile.FindAllStringSubmatch(string(text), -1) {
			require.FileExists(t, filepath.Join("..", found[1]), document)
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

// TestImageHasNoKnownHoles: the nginx of the image is at least the recommended one.
func TestImageHasNoKnownHoles(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	match := regexp.MustCompile(`NGINX_IMAGE=\S+/nginx-unprivileged:([0-9.]+)-`).FindStringSubmatch(string(text))
	require.NotNil(t, match)
	version, err := nginxgen.ParseVersion("nginx/" + match[1])
	require.NoError(t, err)
	require.False(t, version.Before(nginxgen.Recommended), "%s is older than %s", version, nginxgen.Recommended)
	require.Empty(t, version.Holes())
}

// TestGoVersions: the image is built with the Go of go.mod, and all modules of the
// product name the same.
func TestGoVersions(t *testing.T) {
	t.Parallel()
	image, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	wanted := regexp.MustCompile(`GO_IMAGE=\S+/golang:([0-9.]+)-`).FindStringSubmatch(string(image))
	require.NotNil(t, wanted)
	for _, file := range []string{"../go.mod", "../e2e/go.mod", "../bench/go.mod", "../hack/gitops/go.mod", "../go.work"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Regexp(t, `(?m)^go `+regexp.QuoteMeta(wanted[1])+`$`, string(text), file)
	}
}
