#!/usr/bin/env bash
# All of a release but the publishing: makes it twice, the second time from a copy of the
# clone in another folder, compares the bytes, checks the workflows, and installs the
# plugin with Krew. With docker and BuildKit it also builds the image.
#
#   hack/release-dry-run.sh v1.2.3
#
# BUILD_ARGS="GO_IMAGE=... NGINX_IMAGE=..." replaces the base images of deploy/Dockerfile.
#
# Not tried here: signatures, provenance and the pushes, which need GitHub's identity.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
: "${GO:=go}" "${HELM:=helm}"
root=$PWD dist=$PWD/dist
say() { echo "release-dry-run: $* ($SECONDS s)"; }

say "checking the workflows"
make --no-print-directory workflows GO="$GO"

say "making $version in $dist"
make --no-print-directory release GO="$GO" HELM="$HELM" RELEASE="$version" RELEASE_FLAGS=-unreleased

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
say "making it again, from a copy in $copy"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -c | tar -C "$copy" -x
make --no-print-directory -C "$copy" release GO="$GO" HELM="$HELM" RELEASE="$version" RELEASE_FLAGS=-unreleased
diff -r "$dist" "$copy/dist"
say "equal bytes: $(find "$dist" -type f | wc -l) files, $(du -sh "$dist" | cut -f 1)"

say "building krew, and installing the plugin with it"
mkdir -p bin
(cd hack/krew && GOWORK=off $GO build -o "$root/bin/krew" sigs.k8s.io/krew/cmd/krew)
(cd hack/release && GOWORK=off MIGRATION_PROXY_DIST=$dist MIGRATION_PROXY_VERSION=$version HELM=$HELM KREW=$root/bin/krew $GO test -count=1 .)

if hack/need-buildkit.sh docker 2>/dev/null; then
  # The program for arm64 is cross-compiled; its image also needs an nginx image for arm64.
  say "building the image, and its stage build for arm64"
  make --no-print-directory image IMAGE="migration-proxy:${version#v}" VERSION="$version"
  arguments=(--build-arg VERSION="$version")
  for argument in ${BUILD_ARGS:-}; do arguments+=(--build-arg "$argument"); done
  DOCKER_BUILDKIT=1 docker build -q -f deploy/Dockerfile --platform linux/arm64 --target build "${arguments[@]}" .
else
  say "no docker with BuildKit: the image is not built"
fi
say "done; not tried: cosign, provenance, the pushes"
cat "$dist/SHA256SUMS"
