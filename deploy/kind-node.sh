#!/usr/bin/env bash
# Cuts a kind node off from the network, or joins it again:
#
#   deploy/kind-node.sh cut|join NODE
#
# docker pause would not do: the kernel of a paused node still takes connections.
set -euo pipefail

case "$1" in
cut)
  docker exec -i "$2" nft -f - <<'NFT'
table inet cut {
  chain in { type filter hook prerouting priority -400; iifname "eth0" drop; }
  chain out { type filter hook postrouting priority 400; oifname "eth0" drop; }
}
NFT
  ;;
join) docker exec "$2" sh -c 'nft delete table inet cut 2>/dev/null || true' ;;
*)
  echo "usage: kind-node.sh cut|join NODE" >&2
  exit 2
  ;;
esac
