#!/usr/bin/env bash
# Runs the e2e scenarios on a kind cluster, with the image that users get:
#
#   deploy/kind.sh                  # create, build, load, test; the cluster stays
#   CONTROLLERS=yes deploy/kind.sh  # also install ingress-nginx and Traefik, and run the story behind them
#   TESTS=TestDrain deploy/kind.sh  # only the scenarios that match
#   deploy/kind.sh delete           # delete the cluster
#
# Needs docker with BuildKit, kind v0.33.0, kubectl, helm, Go and the internet, or images
# and manifests from elsewhere:
#
#   NODE_IMAGE     in the place of the node image that kind-config.yaml names
#   BUILD_ARGS     for deploy/Dockerfile, as "GO_IMAGE=... NGINX_IMAGE=..."
#   CERT_MANAGER   address or file of cert-manager's manifest
#   METRICS_SERVER address or file of metrics-server's manifest; "": none (then the
#                  scenario with the autoscaler is skipped)
#   INGRESS_NGINX  chart of ingress-nginx, and helm's flags for it, as "DIR --set ..."
#   TRAEFIK        the same of Traefik
#
# Kubernetes 1.35 and newer want a machine with cgroup v2; kind's own requirements are at
# https://kind.sigs.k8s.io/docs/user/known-issues.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly cluster=migration-proxy
: "${CERT_MANAGER=https://github.com/cert-manager/cert-manager/releases/download/v1.21.2/cert-manager.yaml}"
: "${METRICS_SERVER=https://github.com/kubernetes-sigs/metrics-server/releases/download/v0.9.0/components.yaml}"
: "${INGRESS_NGINX=ingress-nginx --repo https://kubernetes.github.io/ingress-nginx --version 4.15.1}"
: "${TRAEFIK=traefik --repo https://traefik.github.io/charts --set image.tag=v3.7.13}"

say() { echo "kind.sh: $*" >&2; }

if [ "${1:-}" = delete ]; then
  exec kind delete cluster --name "$cluster"
fi
for program in docker kind kubectl helm go; do
  command -v "$program" >/dev/null || { say "$program is missing"; exit 1; }
done
hack/need-buildkit.sh docker
export DOCKER_BUILDKIT=1
if [ "$(docker info --format '{{.CgroupVersion}}')" = 1 ]; then
  say "this machine has cgroup v1: the kubelet of Kubernetes 1.35 and newer refuses it unless the node image says otherwise"
fi

mkdir -p bin/kind
kubeconfig=$PWD/bin/kind/kubeconfig
export KUBECONFIG=$kubeconfig
if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
  kind export kubeconfig --name "$cluster"
else
  kind create cluster --config kind-config.yaml --wait 3m ${NODE_IMAGE:+--image "$NODE_IMAGE"}
fi

# The images that the scenarios use: the current version, the same with an older version
# number, and the image of clients, backends and ingress controller.
version() { sed -n "s/.*$1Version *= \"\(.*\)\"/\1/p" e2e/world/programs.go; }
arguments=()
for argument in ${BUILD_ARGS:-}; do arguments+=(--build-arg "$argument"); done
build() { docker build -f deploy/Dockerfile -t "migration-proxy:$1" --build-arg VERSION="$(version "$2")" ${arguments[@]+"${arguments[@]}"} .; }
build e2e current
build e2e-older older
CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -o bin/kind/actor ./e2e/actor
docker build -t migration-proxy-e2e:e2e -f - bin/kind <<'DOCKERFILE'
FROM scratch
COPY actor /actor
USER 65532:65532
ENTRYPOINT ["/actor"]
DOCKERFILE
kind load docker-image --name "$cluster" migration-proxy:e2e migration-proxy:e2e-older migration-proxy-e2e:e2e

kubectl apply --server-side -f "$CERT_MANAGER"
kubectl -n cert-manager wait --for=condition=Available deployment --all --timeout=3m

# Kubelets of kind have certificates that they signed themselves.
if [ -n "$METRICS_SERVER" ]; then
  kubectl apply --server-side --force-conflicts -f "$METRICS_SERVER"
  kubectl -n kube-system patch deployment metrics-server --type=json -p \
    '[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--kubelet-insecure-tls"}]'
  kubectl -n kube-system rollout status deployment metrics-server --timeout=3m
fi

# The controllers by their own charts, with the settings that users get, apart from the
# load balancer, which kind does not have.
install_controllers() {
  # shellcheck disable=SC2086 # words are arguments
  helm upgrade --install ingress-nginx $INGRESS_NGINX \
    --namespace ingress-nginx --create-namespace --wait --timeout 5m \
    --set controller.service.type=ClusterIP --set controller.ingressClassResource.name=nginx
  # shellcheck disable=SC2086
  helm upgrade --install traefik $TRAEFIK \
    --namespace traefik --create-namespace --wait --timeout 5m \
    --set service.type=ClusterIP \
    --set ingressClass.name=traefik --set ingressClass.isDefaultClass=false
}

if [ -n "${CONTROLLERS:-}" ]; then
  install_controllers
  export MIGRATION_PROXY_E2E_CONTROLLERS=nginx=ingress-nginx-controller.ingress-nginx.svc.cluster.local:80,traefik=traefik.traefik.svc.cluster.local:80
fi

export MIGRATION_PROXY_E2E_KUBECONFIG=$kubeconfig MIGRATION_PROXY_E2E_CUT_NODE=$PWD/deploy/kind-node.sh
go test -count=1 -timeout 60m ${TESTS:+-v -run "$TESTS"} ./e2e
