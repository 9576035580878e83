#!/usr/bin/env bash
# Runs the e2e scenarios on a kind cluster, with the image that users get:
#
#   deploy/kind.sh                  # create, build, load, test; the cluster stays
#   CONTROLLERS=yes deploy/kind.sh  # also install ingress-nginx and Traefik, and run the story behind them
#   deploy/kind.sh delete           # delete the cluster
#
# Needs docker, kind v0.33.0, kubectl, helm, Go and the internet.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly cluster=migration-proxy
readonly nginx_chart=4.15.1 traefik_image=v3.7.13
readonly cert_manager=https://github.com/cert-manager/cert-manager/releases/download/v1.21.2/cert-manager.yaml

if [ "${1:-}" = delete ]; then
  exec kind delete cluster --name "$cluster"
fi
for program in docker kind kubectl helm go; do
  command -v "$program" >/dev/null || { echo "kind.sh: $program is missing" >&2; exit 1; }
done

mkdir -p bin/kind
kubeconfig=$PWD/bin/kind/kubeconfig
export KUBECONFIG=$kubeconfig
if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
  kind export kubeconfig --name "$cluster"
else
  kind create cluster --config kind-config.yaml --wait 3m
fi

# The images that the scenarios use: the current version, the same with an older version
# number, and the image of clients, backends and ingress controller.
version() { sed -n "s/.*$1Version *= \"\(.*\)\"/\1/p" e2e/world/programs.go; }
docker build -f deploy/Dockerfile -t migration-proxy:e2e --build-arg VERSION="$(version current)" .
docker build -f deploy/Dockerfile -t migration-proxy:e2e-older --build-arg VERSION="$(version older)" .
CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -o bin/kind/actor ./e2e/actor
docker build -t migration-proxy-e2e:e2e -f - bin/kind <<'DOCKERFILE'
FROM scratch
COPY actor /actor
USER 65532:65532
ENTRYPOINT ["/actor"]
DOCKERFILE
kind load docker-image --name "$cluster" migration-proxy:e2e migration-proxy:e2e-older migration-proxy-e2e:e2e

kubectl apply --server-side -f "$cert_manager"
kubectl -n cert-manager wait --for=condition=Available deployment --all --timeout=3m

# The controllers by their own charts, with the settings that users get, apart from the
# load balancer, which kind does not have.
install_controllers() {
  helm upgrade --install ingress-nginx ingress-nginx --repo https://kubernetes.github.io/ingress-nginx --version "$nginx_chart" \
    --namespace ingress-nginx --create-namespace --wait --timeout 5m \
    --set controller.service.type=ClusterIP --set controller.ingressClassResource.name=nginx
  helm upgrade --install traefik traefik --repo https://traefik.github.io/charts \
    --namespace traefik --create-namespace --wait --timeout 5m \
    --set image.tag="$traefik_image" --set service.type=ClusterIP \
    --set ingressClass.name=traefik --set ingressClass.isDefaultClass=false
}

if [ -n "${CONTROLLERS:-}" ]; then
  install_controllers
  export MIGRATION_PROXY_E2E_CONTROLLERS=nginx=ingress-nginx-controller.ingress-nginx.svc.cluster.local:80,traefik=traefik.traefik.svc.cluster.local:80
fi

MIGRATION_PROXY_E2E_KUBECONFIG=$kubeconfig go test -count=1 -timeout 30m ./e2e
