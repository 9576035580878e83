#!/usr/bin/env bash
# The steps of make test, so ordered that the first results come early:
#
#   1. the tests that need no control plane
#   2. build the control plane, if it is not there
#   3. go vet, and the tests that need the control plane or are in e2e, but for step 4
#   4. the scenarios in a cluster, the faults and the browser, one package at a time
#
# Step 4 is apart because it measures what users notice. Beside the others, on 2 CPUs
# (load 18), updates that take 1 s took 10, and what is a fault of the machine looked like
# one of the proxy.
#
# -count=1, because go's test cache does not notice a change of the product where a test
# starts it as a program. -vet=off, because step 3 runs all of go vet. A step that fails
# ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."

GO=${GO:-go}
readonly module=$(GOWORK=off $GO list -m)
readonly parallel=$(($(nproc) + 1))

say() { echo "make test: $* ($((SECONDS / 60)) min $((SECONDS % 60)) s)"; }

# Tests make many small files, 10,000 for the weights of one proxy, which take a third of
# the CPU time in memory. The chart has them in memory too. What the compiler writes stays
# on the disk. The most at a time were 810 MB.
readonly memory=/dev/shm/mp-test.$$

use_memory() {
  local left
  for left in /dev/shm/mp-test.*; do # of runs that were killed
    [ -d "/proc/${left##*.}" ] || rm -rf "$left" || true
  done
  export GOTMPDIR=${GOTMPDIR:-${TMPDIR:-/tmp}}
  trap 'rm -rf "$memory"' EXIT
  if [ "$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)" -ge 4000 ] 2>/dev/null &&
    mkdir -m 755 "$memory" && cp "$(type -P true)" "$memory/true" && "$memory/true"; then
    export TMPDIR=$memory # it is big enough, and programs run there
  fi
}

# The packages whose tests import the control plane, directly or not. Those of deploy run
# helm, which is built with it.
with_control_plane() {
  $GO list -test -f "{{if .ForTest}}{{.ForTest}} {{join .Deps \" \"}}{{end}}" ./... ./bench/... |
    awk -v plane=" $module/internal/controlplane( |\$)" '$0 ~ plane || $1 ~ "internal/controlplane$" {print $1}' | sort -u
  echo "$module/deploy"
}

use_memory
needing=$(with_control_plane | sort -u)
free=$($GO list ./... ./bench/... | grep -vxF "$needing")
measured=$(printf '%s\n' "$module"/e2e "$module"/e2e/{browser,faults})
needing+=$'\n'$($GO list ./e2e/... | grep -vxF "$measured")
# The longest come first: watcher's tests wait for two minutes, one after the other.
longest=$(printf '%s\n' "$module"/{watcher,cmd/migration-proxy})
needing=$longest$'\n'$(grep -vxF "$longest" <<<"$needing")

say "1 of 4: $(wc -l <<<"$free") packages that need no control plane"
$GO test -count=1 -vet=off -timeout 20m -p "$parallel" $free
say "2 of 4: the control plane, 19 minutes the first time on 2 cores"
hack/controlplane/build.sh
say "3 of 4: go vet, and $(wc -l <<<"$needing") packages with a real API server or programs"
$GO vet ./... ./e2e/... ./bench/...
$GO test -count=1 -vet=off -timeout 20m -p "$parallel" $needing
say "4 of 4: scenarios in a cluster, faults, and a browser"
$GO test -count=1 -vet=off -timeout 40m -p 1 $measured
say "all passed"
