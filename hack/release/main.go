package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// release is what is published under one version.
type release struct {
	version    string    // with the v: v1.2.3
	time       time.Time // of all files
	root, out  string    // the clone, and the folder for the files
	helm       string
	unreleased bool // the notes may be the section "Unreleased"
}

// download is where the files of a release are, after it was published.
const download = "https://github.com/migration-proxy/migration-proxy/releases/download/"

func main() {
	r, err := parse(os.Args[1:])
	if err == nil {
		err = r.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

var semantic = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func parse(args []string) (release, error) {
	var r release
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.StringVar(&r.version, "version", "", "the version, v1.2.3")
	epoch := flags.Int64("epoch", 0, "the time of all files, in seconds since 1970 (SOURCE_DATE_EPOCH)")
	flags.StringVar(&r.root, "root", "../..", "the clone")
	flags.StringVar(&r.out, "out", "../../dist", "the folder for the files; it is emptied")
	flags.StringVar(&r.helm, "helm", "helm", "the helm that renders install.yaml")
	flags.BoolVar(&r.unreleased, "unreleased", false, "without a section for the version, the notes are those of Unreleased")
	if err := flags.Parse(args); err != nil {
		return release{}, err
	}
	r.time = time.Unix(*epoch, 0).UTC()
	var err [2]error
	r.root, err[0] = filepath.Abs(r.root)
	r.out, err[1] = filepath.Abs(r.out)
	if !semantic.MatchString(r.version) {
		return release{}, fmt.Errorf("version %q: write it as v1.2.3", r.version)
	}
	return r, errors.Join(err[:]...)
}

// number is the version without the v, as charts have it.
func (r release) number() string { return strings.TrimPrefix(r.version, "v") }

func (r release) run() error {
	if err := errors.Join(os.RemoveAll(r.out), os.MkdirAll(r.out, 0o755)); err != nil {
		return err
	}
	for _, step := range []struct {
		doing string
		run   func() error
	}{
		{"release notes", r.notes},
		{"programs", r.programs},
		{"chart", r.chart},
		{"install.yaml", r.installManifest},
		{"manifest of Krew", r.krew},
		{"checksums", r.checksums},
	} {
		fmt.Println("release:", step.doing)
		if err := step.run(); err != nil {
			return fmt.Errorf("%s: %w", step.doing, err)
		}
	}
	return nil
}

func (r release) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(r.out, name), content, 0o644)
}
