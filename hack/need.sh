#!/usr/bin/env bash
# Makes sure that programs we do not build are there: nginx, wrk, haproxy, ip, go.
#
#   hack/need.sh go nginx        # silent, status 0, when all are there
#
# What is missing is installed by apt-get when we are root on Debian or Ubuntu;
# otherwise the command to run is printed and the status is 1. No service is
# started, and a policy-rc.d that is already there is left as it is.
set -eu

declare -A package=([nginx]=nginx-light [wrk]=wrk [haproxy]=haproxy [ip]=iproute2)
policy=/usr/sbin/policy-rc.d

say() { echo "need.sh: $*" >&2; }

# MIGRATION_PROXY_NGINX, WRK, HAPROXY name a program elsewhere; /usr/sbin is not
# in everybody's PATH. (NGINX has a meaning of its own to nginx.)
found() {
  local chosen="${1^^}"
  case "$1" in nginx | ip) chosen=MIGRATION_PROXY_$chosen ;; esac
  if [ -n "${!chosen:-}" ]; then
    [ -x "${!chosen}" ] || { say "\$$chosen is ${!chosen}, which is not a program; correct or unset it"; exit 1; }
    return 0
  fi
  PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null
}

# go.mod says which Go we need. An older one may fetch it by itself
# (GOTOOLCHAIN), unless that is off or there is no network: so just ask.
need_go() {
  local wanted answer
  wanted=$(awk '$1 == "go" {print $2}' "$(dirname "$0")/../go.mod")
  command -v go >/dev/null || { say "go is missing: install Go $wanted or newer from https://go.dev/dl/"; exit 1; }
  cd "$(dirname "$0")/.."
  if ! answer=$(go list -m 2>&1); then
    say "Go $wanted or newer is needed, this is $(GOTOOLCHAIN=local go env GOVERSION): install it from https://go.dev/dl/"
    say "go says: $answer"
    exit 1
  fi
}

# Debian's packages start their service as soon as they are installed: nginx
# would sit on port 80 and disturb, or fail there and break the installation.
# A policy that answers 101 (action forbidden) meanwhile prevents it. A policy
# that is already there stays; if it allows the start, stop_services ends it.
install() {
  local status=0 output
  say "installing Debian's $* by apt-get; this takes about half a minute"
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  output=$( (apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@") 2>&1 </dev/null) || status=$?
  stop_services
  [ "$status" = 0 ] || { say "$output"; say "apt-get failed with status $status; install $* by hand and try again"; exit 1; }
}

# Only for services that were not there before we installed them.
stop_services() {
  local service
  for service in ${services[@]+"${services[@]}"}; do
    if [ -d /run/systemd/system ]; then
      systemctl disable --quiet --now "$service"
    elif [ -x "/etc/init.d/$service" ]; then
      "/etc/init.d/$service" stop
    fi
  done >/dev/null 2>&1 || true
}

missing=() services=()
for program in "$@"; do
  if [ "$program" = go ]; then
    need_go
  elif [ -z "${package[$program]:-}" ]; then
    say "do not know a package for '$program'; known: go ${!package[*]}"
    exit 2
  elif ! found "$program"; then
    missing+=("${package[$program]}")
    case "$program" in wrk | ip) ;; *) services+=("$program") ;; esac
  fi
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  install "${missing[@]}"
else
  say "missing: ${missing[*]}. Please run:"
  say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
  say "(on other systems the package may be called nginx), or set MIGRATION_PROXY_NGINX=/path/to/nginx"
  exit 1
fi
for program in "$@"; do
  [ "$program" = go ] || found "$program" || { say "$program is still missing after its package was installed"; exit 1; }
done
