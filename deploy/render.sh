#!/usr/bin/env bash
# Renders the chart as one file for kubectl apply, on standard output:
#
#   deploy/render.sh > deploy/install.yaml
#
# $HELM names the helm to use; otherwise it is the one of make controlplane,
# or the one in PATH. The output has no pre-delete hook, because kubectl has no hooks.
set -euo pipefail
cd "$(dirname "$0")/.."

helm=${HELM:-bin/controlplane/helm}
command -v "$helm" >/dev/null || helm=helm
command -v "$helm" >/dev/null || { echo "render.sh: no helm; run make controlplane, or name one with \$HELM" >&2; exit 1; }

cat <<'YAML'
# deploy/render.sh renders this file from deploy/chart with the default values. Do
# not edit it: use the chart or kustomize. It needs cert-manager (docs/install.md).
#
#   sed "s#ghcr.io/migration-proxy/migration-proxy:0.1.0#$IMAGE#" deploy/install.yaml | kubectl apply -f -
#
# installs it with the image that you built. Run migration-proxy restore --all
# before you delete it.
---
apiVersion: v1
kind: Namespace
metadata:
  name: migration-proxy
  labels:
    app.kubernetes.io/name: migration-proxy
    pod-security.kubernetes.io/enforce: restricted
YAML
"$helm" template migration-proxy deploy/chart --namespace migration-proxy --no-hooks
