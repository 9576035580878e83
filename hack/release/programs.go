package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// platform is an operating system and an architecture, as Go names them.
type platform struct{ os, arch string }

// platforms have a program. The data plane runs on linux only; on darwin the program is
// the command line, as the plugin of kubectl.
var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}}

func (p platform) archive() string { return "migration-proxy_" + p.os + "_" + p.arch + ".tar.gz" }

func (p platform) sbom() string { return "migration-proxy_" + p.os + "_" + p.arch + ".cdx.json" }

// programs builds the program for each platform, archives it with the license, and lists
// the modules that it is linked from.
func (r release) programs() error {
	license, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, p := range platforms {
		program := filepath.Join(dir, p.os+"-"+p.arch)
		if err := r.build(p, program); err != nil {
			return err
		}
		content, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		packed, err := archive([]file{{"LICENSE", 0o644, license}, {"migration-proxy", 0o755, content}}, r.time)
		if err != nil {
			return err
		}
		if err := r.write(p.archive(), packed); err != nil {
			return err
		}
		if err := r.writeSBOM(p, program); err != nil {
			return err
		}
	}
	return nil
}

// build has the flags of make build and of deploy/Dockerfile.
func (r release) build(p platform, out string) error {
	fmt.Printf("release:   %s/%s\n", p.os, p.arch)
	return r.execute([]string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS=" + p.os, "GOARCH=" + p.arch, "GOAMD64=v1", "GOARM64=v8.0"},
		"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X main.version="+r.version, "-o", out, "./cmd/migration-proxy")
}

// writeSBOM has no serial number and no time, which would differ each time.
func (r release) writeSBOM(p platform, program string) error {
	command := exec.Command("go", "tool", "cyclonedx-gomod", "bin", "-json", "-std", "-noserial", "-notimestamp",
		"-version", r.version, "-output", filepath.Join(r.out, p.sbom()), program)
	command.Env = append(os.Environ(), "GOWORK=off")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("cyclonedx-gomod: %w\n%s", err, output)
	}
	return nil
}

// execute runs a program in the clone.
func (r release) execute(env []string, name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Dir, command.Env, command.Stderr = r.root, append(os.Environ(), env...), os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return nil
}
