#!/usr/bin/env bash
# Builds the programs of a Kubernetes control plane, and HAProxy Ingress, into
# bin/controlplane, with modules from the Go module proxy. It does not build unchanged
# programs again.
#
#   hack/controlplane/build.sh           # all
#   hack/controlplane/build.sh kubectl   # only the named ones
#
# The first build of all takes about 19 minutes on 2 cores, 4 GB of memory and
# 9 GB of disk: 7 in Go's build cache, 1.5 in its module cache, 0.5 for programs.
#
# It says what a program is for, and each half minute how many packages are compiled.
#
# With KUBEBUILDER_ASSETS set, the programs in that folder are used instead of etcd,
# kube-apiserver and kubectl from here.
#
# No -trimpath and no CGO settings, because other flags would compile everything again.
set -euo pipefail
cd "$(dirname "$0")"
out=$(cd ../.. && pwd)/bin/controlplane
GO=${GO:-go}
export GOFLAGS="${GOFLAGS:-} -buildvcs=false" # git refuses a clone of another user
export GOWORK=off # the workspace does not have these modules

# For each program: the folder of its module, its package, and for a first build the time
# on 2 cores and the MB of disk.
declare -A module=([helm]=helm [cert-manager]=cert-manager [haproxy-ingress]=../haproxyingress)
declare -A package=([helm]=helm.sh/helm/v4/cmd/helm [cert-manager]=. [haproxy-ingress]=github.com/jcmoraisjr/haproxy-ingress/pkg)
declare -A takes=(
  [kube-apiserver]="about 7 minutes" [etcd]="40 s" [kube-controller-manager]="about 3 minutes"
  [kubectl]="1 minute" [helm]="1 minute" [cert-manager]="about 3 minutes"
  [haproxy-ingress]="about 4 minutes"
)
declare -A megabytes=([kube-apiserver]=3200 [etcd]=600 [kube-controller-manager]=1000 [kubectl]=400 [helm]=1600 [cert-manager]=1200 [haproxy-ingress]=900)
declare -A serves=(
  [kube-apiserver]="admission, watches and RBAC of the tests are the real ones" [etcd]="what the API server stores in"
  [kube-controller-manager]="Deployments, EndpointSlices, garbage collection" [kubectl]="what users type"
  [helm]="installs the chart" [cert-manager]="issues the certificates of the webhook"
  [haproxy-ingress]="a real ingress controller before the proxy"
)
all=(etcd kube-apiserver kube-controller-manager kubectl helm cert-manager haproxy-ingress)

say() { echo "controlplane: $*"; }

version() { (cd "$1" && $GO list -m -f '{{.Version}}' "$2"); }

kubernetes=$(version . k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${kubernetes#v}"
stamp=k8s.io/component-base/version
flags="-s -w -X $stamp.gitVersion=$kubernetes -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor -X $stamp.gitTreeState=clean"

# A checksum of the sources of a program: when it changes, the program is built again.
checksum() {
  local folder=${module[$1]:-.} sources=${module[$1]:-$1}
  { echo "$flags"; $GO version; cat "$folder"/go.mod "$folder"/go.sum; find "$sources" -name '*.go' -print0 | sort -z | xargs -0r cat; } | sha256sum
}

# Copies the CRDs of cert-manager, which its module contains.
crds() {
  local from; from=$(cd cert-manager && $GO list -m -f '{{.Dir}}' github.com/cert-manager/cert-manager)
  rm -rf "$out/crds"
  mkdir "$out/crds"
  install -m 0644 "$from"/deploy/crds/*.yaml "$out/crds/"
}

# Copies the templates of HAProxy Ingress, which it reads at its start.
templates() {
  local from; from=$(cd ../haproxyingress && $GO list -m -f '{{.Dir}}' github.com/jcmoraisjr/haproxy-ingress)
  rm -rf "$out/haproxy-ingress-rootfs"
  mkdir "$out/haproxy-ingress-rootfs"
  cp -R "$from/rootfs/etc" "$out/haproxy-ingress-rootfs/"
  chmod -R u+w "$out/haproxy-ingress-rootfs"
}

# Counts the packages that go build -v names, and passes everything else on. The last lines
# of a build that fails are errors, which have a blank or a colon.
progress() {
  local name=$1 began=$SECONDS said=$SECONDS count=0 line
  while IFS= read -r line; do
    case "$line" in
    *[\ :]* | '#'*) echo "$line" >&2 ;;
    *) count=$((count + 1)) ;;
    esac
    [ $((SECONDS - said)) -lt 30 ] || { say "  $name: $count packages compiled in $((SECONDS - began)) s"; said=$SECONDS; }
  done
}

build() {
  local name=$1 began=$SECONDS ldflags=$flags
  local want; want=$(checksum "$name")
  [ ! -x "$out/$name" ] || [ "$want" != "$(cat "$out/.$name.sum" 2>/dev/null)" ] || return 0
  [ "$name" != helm ] || ldflags="$flags -X helm.sh/helm/v4/internal/version.version=$(version helm helm.sh/helm/v4)"
  say "building $name (${serves[$name]}), ${takes[$name]} the first time on 2 cores ..."
  (cd "${module[$name]:-.}" && $GO build -v -ldflags "$ldflags" -o "$out/$name" "${package[$name]:-./$name}") 2>&1 | progress "$name"
  [ "$name" != cert-manager ] || crds
  [ "$name" != haproxy-ingress ] || templates
  echo "$want" >"$out/.$name.sum"
  say "building $name ... done in $((SECONDS - began)) s"
}

# Checks the free disk space before a build of many minutes. The size of Go's cache counts
# as free, because the cache may already have the needed packages.
need_disk() {
  local cache name needed=0 free used
  for name in "$@"; do
    [ -x "$out/$name" ] || given "$name" || needed=$((needed + megabytes[$name]))
  done
  [ "$needed" != 0 ] || return 0
  cache=$($GO env GOCACHE)
  mkdir -p "$cache"
  free=$(df -Pm "$cache" | awk 'NR == 2 {print $4}')
  used=$(du -sm "$cache" | awk '{print $1}')
  [ $((free + used)) -lt "$needed" ] || return 0
  say "a first build needs about $needed MB of disk; where Go's cache is ($cache), only $free MB are free" >&2
  say "free some space, or set GOCACHE, and if needed GOMODCACHE, to a folder on another disk" >&2
  exit 1
}

given() { # is the program in KUBEBUILDER_ASSETS?
  [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ]
}

mkdir -p "$out"
[ "$#" -gt 0 ] || set -- "${all[@]}"
for name in "$@"; do
  [ -n "${takes[$name]:-}" ] || { say "unknown program '$name'; there are: ${all[*]}" >&2; exit 2; }
done
need_disk "$@"
for name in "$@"; do
  if given "$name"; then
    say "$name: using $KUBEBUILDER_ASSETS/$name"
    continue
  fi
  build "$name"
done
