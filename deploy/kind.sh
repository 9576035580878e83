#!/usr/bin/env bash
# The e2e scenarios on a kind cluster, with the image that users get:
#
#   deploy/kind.sh            # create, build, load, test; the cluster stays
#   deploy/kind.sh delete     # take the cluster away
#
# Needs docker, kind v0.33.0, kubectl, helm, Go and the internet.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly cluster=migration-proxy
readonly image=ghcr.io/migration-proxy/migration-proxy:e2e
readonly cert_manager=https://github.com/cert-manager/cert-manager/releases/download/v1.21.2/cert-manager.yaml

if [ "${1:-}" = delete ]; then
  exec kind delete cluster --name "$cluster"
fi
for program in docker kind kubectl helm go; do
  command -v "$program" >/dev/null || { echo "kind.sh: $program is missing" >&2; exit 1; }
done

mkdir -p bin
KUBECONFIG=$PWD/bin/kind.kubeconfig
export KUBECONFIG
if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
  kind export kubeconfig --name "$cluster"
else
  kind create cluster --config kind-config.yaml --wait 3m
fi

docker build -f deploy/Dockerfile -t "$image" --build-arg VERSION=e2e .
kind load docker-image --name "$cluster" "$image"
kubectl apply --server-side -f "$cert_manager"
kubectl -n cert-manager wait --for=condition=Available deployment --all --timeout=3m

MIGRATION_PROXY_E2E_IMAGE=$image go test -count=1 -timeout 30m ./e2e/...
