#!/usr/bin/env bash
# Makes sure that programs we do not build are there: nginx, wrk, haproxy, ip, go;
# and that the system grants the namespaces that Pods of tests run in.
#
#   hack/need.sh go nginx        # silent, status 0, when all are there
#   hack/need.sh ip namespaces
#
# What is missing is installed by apt-get when we are root on Debian or Ubuntu;
# otherwise the command to run is printed and the status is 1. No service is
# started, and a policy-rc.d that is already there is left as it is.
set -eu

declare -A package=([nginx]=nginx-light [wrk]=wrk [haproxy]=haproxy [ip]=iproute2)
# What names a program elsewhere. (NGINX has a meaning of its own to nginx.)
declare -A variable=([nginx]=MIGRATION_PROXY_NGINX [wrk]=WRK [haproxy]=HAPROXY)
policy=/usr/sbin/policy-rc.d

say() { echo "need.sh: $*" >&2; }

# /usr/sbin is not in everybody's PATH.
found() {
  local chosen=${variable[$1]:-}
  if [ -n "$chosen" ] && [ -n "${!chosen:-}" ]; then
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

# What controlplane.Isolate does, in small. To be given namespaces is not enough:
# Ubuntu's AppArmor gives them without the rights that root has in them.
need_namespaces() {
  local kinds=-nmpf name refuses allows
  [ "$(id -u)" = 0 ] || kinds=-nmpfUr
  unshare "$kinds" sh -c 'mount -t proc proc /proc && mount -t tmpfs tmpfs /run && ip link add pods type bridge' && return 0
  say "this system refuses the namespaces that Pods of tests run in; what it says is above. Ways out:"
  while read -r name refuses allows; do
    [ "$(cat "/proc/sys/${name//.//}" 2>/dev/null)" != "$refuses" ] || say "  sudo sysctl -w $name=$allows"
  done <<'SETTINGS'
kernel.apparmor_restrict_unprivileged_userns 1 0
kernel.unprivileged_userns_clone 0 1
user.max_user_namespaces 0 10000
SETTINGS
  [ "$(id -u)" = 0 ] || say "  run this as root"
  say "  in a container: start that with docker run --privileged"
  exit 1
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

missing=() services=() hints=() checks=()
for program in "$@"; do
  if [ "$program" = go ] || [ "$program" = namespaces ]; then
    checks+=("need_$program")
  elif [ -z "${package[$program]:-}" ]; then
    say "do not know a package for '$program'; known: go namespaces ${!package[*]}"
    exit 2
  elif ! found "$program"; then
    missing+=("${package[$program]}")
    [ -z "${variable[$program]:-}" ] || hints+=("or set ${variable[$program]}=/path/to/$program")
    case "$program" in wrk | ip) ;; *) services+=("$program") ;; esac
  fi
done
if [ "${#missing[@]}" = 0 ]; then
  :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  install "${missing[@]}"
else
  say "missing: ${missing[*]}. Please run (the packages of other systems may be called otherwise):"
  say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
  for hint in ${hints[@]+"${hints[@]}"}; do say "$hint"; done
  exit 1
fi
for program in "$@"; do
  [ -z "${package[$program]:-}" ] || found "$program" || { say "$program is still missing after its package was installed"; exit 1; }
done
for check in ${checks[@]+"${checks[@]}"}; do "$check"; done
