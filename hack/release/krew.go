package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// krew writes the manifest of the plugin `kubectl migration-proxy`. Krew refuses generic
// names; `kubectl migration` is the link of make install.
func (r release) krew() error {
	var text bytes.Buffer
	fmt.Fprintf(&text, krewHead, r.version)
	for _, p := range platforms {
		sum, err := r.checksum(p.archive())
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, krewPlatform, p.os, p.arch, download+r.version+"/"+p.archive(), sum)
	}
	return r.write("migration-proxy.yaml", text.Bytes())
}

const (
	krewHead = `apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: migration-proxy
spec:
  version: %s
  homepage: https://github.com/migration-proxy/migration-proxy
  shortDescription: Move traffic from an old cluster to a new one
  description: |
    Shows and changes how many percent of the live traffic of a service the
    migration proxy sends to a new cluster, explains which side a request gets,
    checks migration configs, and restores every Ingress as its user wrote it.

    The cluster needs the migration proxy (a Helm chart):
    https://github.com/migration-proxy/migration-proxy/blob/main/docs/install.md
  platforms:
`
	krewPlatform = `    - selector:
        matchLabels:
          os: %s
          arch: %s
      uri: %s
      sha256: %s
      bin: migration-proxy
      files:
        - from: migration-proxy
          to: .
        - from: LICENSE
          to: .
`
)

func (r release) checksum(name string) (string, error) {
	content, err := os.ReadFile(filepath.Join(r.out, name))
	return fmt.Sprintf("%x", sha256.Sum256(content)), err
}

// checksums writes SHA256SUMS of all files, as sha256sum reads it.
func (r release) checksums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, entry := range entries {
		sum, err := r.checksum(entry.Name())
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, entry.Name())
	}
	return r.write("SHA256SUMS", text.Bytes())
}
