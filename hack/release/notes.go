package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// notes writes the section of the version in CHANGELOG.md.
func (r release) notes() error {
	changelog, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	section, err := r.section(string(changelog))
	if err != nil {
		return err
	}
	return r.write("RELEASE_NOTES.md", []byte(section+installing(r.version)))
}

func (r release) section(changelog string) (string, error) {
	if section, found := cutSection(changelog, r.number()); found {
		return section, nil
	}
	if section, found := cutSection(changelog, "Unreleased"); found && r.unreleased {
		return section, nil
	}
	return "", fmt.Errorf("CHANGELOG.md has no section '## %s'", r.number())
}

// cutSection is the text between a heading of the second level, which may go on with a
// date, and the next one.
func cutSection(changelog, name string) (string, bool) {
	for _, section := range strings.Split("\n"+changelog, "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		if first, _, _ := strings.Cut(heading, " "); strings.Trim(first, "[]") == name {
			return strings.TrimSpace(text) + "\n", true
		}
	}
	return "", false
}

// installing is the end of the notes: how to get it, and how to check what one got.
func installing(version string) string {
	return strings.NewReplacer("VERSION", version, "NUMBER", strings.TrimPrefix(version, "v")).Replace(`
## Install

    helm install migration-proxy oci://ghcr.io/migration-proxy/charts/migration-proxy --version NUMBER -n migration-proxy --wait
    kubectl krew install --manifest-url=` + download + `VERSION/migration-proxy.yaml

SHA256SUMS has a cosign signature and a provenance attestation:

    cosign verify-blob SHA256SUMS --bundle SHA256SUMS.sigstore.json \
      --certificate-identity-regexp '^https://github.com/migration-proxy/migration-proxy/' \
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
    gh attestation verify migration-proxy_linux_amd64.tar.gz --repo migration-proxy/migration-proxy
`)
}
