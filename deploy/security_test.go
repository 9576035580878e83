package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestClaimsHaveTests: each test that docs/security.md names exists.
func TestClaimsHaveTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/security.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(named), 15)
	found := testNames(t)
	for _, name := range named {
		require.True(t, found[name[1]], "docs/security.md names %s, which does not exist", name[1])
	}
	for _, file := range regexp.MustCompile("`([a-z0-9/]+_test\\.go)").FindAllStringSubmatch(string(page), -1) {
		require.FileExists(t, filepath.Join("..", file[1]))
	}
}

// testNames are the names of all tests of this repository.
func testNames(t *testing.T) map[string]bool {
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	names := map[string]bool{}
	require.NoError(t, filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && (entry.Name() == "bin" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, match := range function.FindAllStringSubmatch(string(text), -1) {
			names[match[1]] = true
		}
		return err
	}))
	return names
}

// TestWriteRightsByNamespace: with webhook.namespaces the watcher's account writes to
// nothing outside of them but Events.
func TestWriteRightsByNamespace(t *testing.T) {
	t.Parallel()
	text, err := helm(t, "template", "x", chart, "--namespace", namespace, "--set", "webhook.namespaces={shop,partner}")
	require.NoError(t, err)
	objects := decode(t, text)
	for _, rule := range one[*rbacv1.ClusterRole](t, objects, "migration-proxy-webhook").Rules {
		if rule.Resources[0] != "events" {
			require.Subset(t, []string{"get", "list", "watch"}, rule.Verbs, "%v", rule.Resources)
		}
	}
	var bound []string
	for _, object := range objects {
		if binding, ok := object.(*rbacv1.RoleBinding); ok && binding.RoleRef.Name == "migration-proxy-webhook-write" {
			bound = append(bound, binding.Namespace)
			require.Equal(t, "migration-proxy-webhook", binding.Subjects[0].Name)
		}
		if binding, ok := object.(*rbacv1.ClusterRoleBinding); ok {
			require.NotEqual(t, "migration-proxy-webhook-write", binding.RoleRef.Name)
		}
	}
	require.Equal(t, []string{"shop", "partner"}, bound)
}
