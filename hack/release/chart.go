package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// chartName is the file of the chart, as helm package and helm push name it.
func (r release) chartName() string { return "migration-proxy-" + r.number() + ".tgz" }

// chart packages the chart with the version. helm package writes the time of day, so
// this does not use it; helm reads the result afterwards.
func (r release) chart() error {
	var files []file
	folder := os.DirFS(filepath.Join(r.root, "deploy", "chart"))
	err := fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(folder, name)
		if name == "Chart.yaml" {
			content = r.stamp(content)
		}
		files = append(files, file{"migration-proxy/" + name, 0o644, content})
		return err
	})
	if err != nil {
		return err
	}
	packed, err := archive(files, r.time)
	if err != nil {
		return err
	}
	if err := r.write(r.chartName(), packed); err != nil {
		return err
	}
	return r.execute(nil, r.helm, "lint", "--quiet", filepath.Join(r.out, r.chartName()))
}

var (
	chartVersion = regexp.MustCompile(`(?m)^version: .*$`)
	appVersion   = regexp.MustCompile(`(?m)^appVersion: .*$`)
	imageTag     = regexp.MustCompile(`(?m)^(\s+image: ghcr\.io/migration-proxy/migration-proxy:).*$`)
	prerelease   = regexp.MustCompile(`(?m)^(\s+artifacthub\.io/prerelease:).*$`)
)

// stamp writes the version into Chart.yaml. The image has the tag of the version.
func (r release) stamp(chart []byte) []byte {
	chart = chartVersion.ReplaceAll(chart, []byte("version: "+r.number()))
	chart = appVersion.ReplaceAll(chart, []byte(`appVersion: "`+r.number()+`"`))
	chart = imageTag.ReplaceAll(chart, []byte("${1}"+r.number()))
	return prerelease.ReplaceAll(chart, fmt.Appendf(nil, `${1} "%t"`, strings.Contains(r.version, "-")))
}

// installManifest renders the packaged chart for kubectl apply.
func (r release) installManifest() error {
	command := exec.Command("deploy/render.sh")
	command.Dir, command.Env = r.root, append(os.Environ(), "HELM="+r.helm, "CHART="+filepath.Join(r.out, r.chartName()))
	rendered, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return err
	}
	return r.write("install.yaml", rendered)
}
