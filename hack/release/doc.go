// Command release makes everything that is published for a version, without publishing it.
//
// Takes:
//   - a clean clone, the version, a time for all files, and helm
//
// Gives, in a folder, equal bytes for equal input:
//   - migration-proxy_OS_ARCH.tar.gz for linux and darwin, amd64 and arm64, each with an SBOM
//   - the chart migration-proxy-VERSION.tgz, and install.yaml rendered from it
//   - migration-proxy.yaml, the manifest of Krew
//   - RELEASE_NOTES.md from CHANGELOG.md, and SHA256SUMS of all files
//
// Refuses:
//   - a version without a section in CHANGELOG.md, unless -unreleased is given
//   - to sign or to push: .github/workflows/release.yaml does
//
// The module also pins the tools of a release (go tool): cyclonedx-gomod for the SBOMs,
// actionlint for the workflows. Krew, which installs the manifest in a test, has a module
// of its own in hack/krew: its dependencies are older.
package main
