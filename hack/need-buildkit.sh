#!/usr/bin/env bash
# Checks that a docker, by default the one in PATH, builds with BuildKit, which
# deploy/Dockerfile needs (cache mounts). No output and status 0 when it does.
set -eu

docker=${1:-docker}
say() { echo "need-buildkit.sh: $*" >&2; }

command -v "$docker" >/dev/null || { say "$docker is missing: install Docker 23 or newer with its buildx plugin"; exit 1; }
"$docker" version >/dev/null 2>&1 || { say "$docker reaches no daemon: $("$docker" version 2>&1 | tail -n 1)"; exit 1; }
# podman's docker command builds with buildah, which knows the same Dockerfile.
"$docker" --version | grep -qi podman && exit 0
"$docker" buildx version >/dev/null 2>&1 && exit 0

# Before version 23 BuildKit is a part of docker itself, and DOCKER_BUILDKIT=1 chooses it.
client=$("$docker" version --format '{{.Client.Version}}')
[ "${client%%.*}" -ge 23 ] || exit 0
say "deploy/Dockerfile needs BuildKit, and docker $client has no buildx plugin"
say "install it: Debian and Ubuntu have docker-buildx or docker-buildx-plugin, others https://docs.docker.com/go/buildx"
exit 1
