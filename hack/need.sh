#!/usr/bin/env bash
# Checks for the programs that are not built here (nginx, wrk, haproxy, chromium, ip, go), and that
# the system permits the namespaces in which Pods of tests run.
#
#   hack/need.sh go nginx        # no output and status 0 when all exist
#   hack/need.sh ip namespaces
#
# As root on Debian or Ubuntu it installs missing programs with apt-get. Otherwise it
# prints the command for that, with status 1. It starts no service, and does not change
# an existing policy-rc.d.
set -eu

declare -A package=([nginx]=nginx-light [wrk]=wrk [haproxy]=haproxy [ip]=iproute2 [chromium]=chromium)
# The variables with the path of a program. (nginx itself reads NGINX.)
declare -A variable=([nginx]=MIGRATION_PROXY_NGINX [wrk]=WRK [haproxy]=HAPROXY [chromium]=MIGRATION_PROXY_CHROMIUM)
policy=/usr/sbin/policy-rc.d

say() { echo "need.sh: $*" >&2; }

# /usr/sbin is not in the PATH of every user.
found() {
  local chosen=${variable[$1]:-}
  if [ -n "$chosen" ] && [ -n "${!chosen:-}" ]; then
    [ -x "${!chosen}" ] || { say "\$$chosen is ${!chosen}, which is not a program; correct or unset it"; exit 1; }
    return 0
  fi
  if [ "$1" = chromium ] && command -v chromium-browser google-chrome google-chrome-stable >/dev/null; then return 0; fi
  PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null
}

# go.mod has the Go version that is needed. An older Go can download it (GOTOOLCHAIN),
# unless that is off or there is no network: "go list" shows whether it works.
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

# Does in short what localcluster.Isolate does. It also uses the namespaces, because
# Ubuntu's AppArmor permits them without the rights that root has in them.
need_namespaces() {
  local kinds=-nmpf name refuses allows
  [ "$(id -u)" = 0 ] || kinds=-nmpfUr
  unshare "$kinds" sh -c 'mount -t proc proc /proc && mount -t tmpfs tmpfs /run && ip link add pods type bridge' && return 0
  say "this system does not permit the namespaces in which Pods of tests run; its error is above. To permit them:"
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

# Debian's packages start their service at installation: nginx would use port 80, or fail
# there and break the installation. A policy that answers 101 (action forbidden) prevents
# that. An existing policy stays; if it allows the start, stop_services stops the service.
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

# Stops only services that did not exist before the installation.
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
    case "$program" in wrk | ip | chromium) ;; *) services+=("$program") ;; esac
  fi
done
if [ "${#missing[@]}" = 0 ]; then
  :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  install "${missing[@]}"
else
  say "missing: ${missing[*]}. Please run (other systems may have other package names):"
  say "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
  for hint in ${hints[@]+"${hints[@]}"}; do say "$hint"; done
  exit 1
fi
for program in "$@"; do
  [ -z "${package[$program]:-}" ] || found "$program" || { say "$program is still missing after its package was installed"; exit 1; }
done
for check in ${checks[@]+"${checks[@]}"}; do "$check"; done
