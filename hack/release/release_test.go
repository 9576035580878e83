package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dist is the folder of a release that was made before (make release-dry-run).
func dist(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("MIGRATION_PROXY_DIST")
	if folder == "" {
		t.Skip("MIGRATION_PROXY_DIST names no release: make release-dry-run makes one")
	}
	return folder
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestArchiveIsReproducible: order and time of day do not change the bytes.
func TestArchiveIsReproducible(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	one, err := archive([]file{{"b", 0o644, []byte("2")}, {"a", 0o755, []byte("1")}}, at)
	if err != nil {
		t.Fatal(err)
	}
	two, err := archive([]file{{"a", 0o755, []byte("1")}, {"b", 0o644, []byte("2")}}, at.In(time.FixedZone("", 3600)))
	if err != nil || !bytes.Equal(one, two) {
		t.Fatalf("%v; %x is not %x", err, one, two)
	}
}

func TestSection(t *testing.T) {
	t.Parallel()
	const changelog = "# Changelog\n\n## Unreleased\n\n- new\n\n## 1.2.3 (2026-12-01)\n\n- three\n\n## 1.2.30\n\n- thirty\n"
	for version, want := range map[string]string{"v1.2.3": "- three\n", "v1.2.30": "- thirty\n", "v1.2.4": ""} {
		got, err := release{version: version}.section(changelog)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", version, got, err)
		}
	}
	got, err := release{version: "v1.2.4", unreleased: true}.section(changelog)
	if got != "- new\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestStamp: the chart in the clone has each field that a release writes.
func TestStamp(t *testing.T) {
	t.Parallel()
	stamped := string(release{version: "v9.8.7-rc.1"}.stamp(read(t, "../../deploy/chart/Chart.yaml")))
	for _, want := range []string{
		"\nversion: 9.8.7-rc.1\n", "\nappVersion: \"9.8.7-rc.1\"\n", "migration-proxy:9.8.7-rc.1\n", "prerelease: \"true\"\n",
	} {
		if !strings.Contains(stamped, want) {
			t.Errorf("%q is not in\n%s", want, stamped)
		}
	}
}

// TestChecksums: sha256sum, which we did not write, accepts the list, and it has all files.
func TestChecksums(t *testing.T) {
	folder := dist(t)
	check := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = folder
	output, err := check.CombinedOutput()
	entries, readErr := os.ReadDir(folder)
	if err != nil || readErr != nil || bytes.Count(output, []byte(": OK")) != len(entries)-1 {
		t.Fatalf("%v %v %s", err, readErr, output)
	}
}

// TestSBOM: each SBOM has the modules that the program of this platform is linked from.
func TestSBOM(t *testing.T) {
	folder := dist(t)
	for _, p := range platforms {
		var sbom struct {
			Components []struct{ Name string }
		}
		if err := json.Unmarshal(read(t, filepath.Join(folder, p.sbom())), &sbom); err != nil {
			t.Fatal(err)
		}
		if names := fmt.Sprint(sbom.Components); !strings.Contains(names, "k8s.io/client-go") || !strings.Contains(names, "{std}") {
			t.Errorf("%s: %s", p.sbom(), names)
		}
	}
}

// TestChartPackage: helm reads the package and renders it like the folder.
func TestChartPackage(t *testing.T) {
	folder, helm := dist(t), os.Getenv("HELM")
	packages, err := filepath.Glob(filepath.Join(folder, "migration-proxy-*.tgz"))
	if err != nil || len(packages) != 1 {
		t.Fatal(err, packages)
	}
	version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(packages[0]), "migration-proxy-"), ".tgz")
	output, err := exec.Command(helm, "template", "migration-proxy", packages[0]).CombinedOutput()
	if err != nil || !bytes.Contains(output, []byte("image: \"ghcr.io/migration-proxy/migration-proxy:"+version)) &&
		!bytes.Contains(output, []byte("image: ghcr.io/migration-proxy/migration-proxy:"+version)) {
		t.Fatalf("%v %s", err, output)
	}
	if !bytes.Contains(read(t, filepath.Join(folder, "install.yaml")), []byte("ghcr.io/migration-proxy/migration-proxy:"+version)) {
		t.Error("install.yaml has another image")
	}
}

// TestKrewInstalls: Krew itself accepts the manifest and installs the plugin from the
// local archive; the plugin runs as kubectl runs it, and reports the version.
func TestKrewInstalls(t *testing.T) {
	folder, krew := dist(t), os.Getenv("KREW")
	root := t.TempDir()
	archive := filepath.Join(folder, platform{"linux", goarch()}.archive())
	install := exec.Command(krew, "install", "--manifest="+filepath.Join(folder, "migration-proxy.yaml"), "--archive="+archive)
	install.Env = append(os.Environ(), "KREW_ROOT="+root, "KREW_NO_UPGRADE_CHECK=1")
	if output, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	plugin := filepath.Join(root, "bin", "kubectl-migration_proxy")
	output, err := exec.Command(plugin, "version").CombinedOutput()
	if err != nil || !bytes.Contains(output, []byte(os.Getenv("MIGRATION_PROXY_VERSION"))) {
		t.Fatalf("%v: %s", err, output)
	}
	sum := sha256.Sum256(read(t, archive))
	if !bytes.Contains(read(t, filepath.Join(folder, "migration-proxy.yaml")), fmt.Appendf(nil, "sha256: %x", sum)) {
		t.Error("the manifest has another checksum")
	}
}

func goarch() string {
	output, err := exec.Command("go", "env", "GOARCH").Output()
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(output))
}
