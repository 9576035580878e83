#!/usr/bin/env bash
# Renders the chart as one file for kubectl apply, on standard output:
#
#   deploy/render.sh > deploy/install.yaml
#
# $CHART names a packaged chart in the place of deploy/chart, for a release.
# $HELM names the helm to use; otherwise it is the one of make controlplane,
# or the one in PATH. The output has no pre-delete hook, because kubectl has no hooks.
set -euo pipefail
cd "$(dirname "$0")/.."

helm=${HELM:-bin/controlplane/helm}
command -v "$helm" >/dev/null || helm=helm
command -v "$helm" >/dev/null || { echo "render.sh: no helm; run make controlplane, or name one with \$HELM" >&2; exit 1; }

if [ -n "${CHART:-}" ]; then
  cat <<'YAML'
# The chart of this release, rendered with its default values. It needs cert-manager
# (docs/install.md).
#
#   kubectl apply -f install.yaml
#
# Run migration-proxy restore --all before you delete it.
YAML
else
  cat <<'YAML'
# deploy/render.sh renders this file from deploy/chart with the default values. Do
# not edit it: use the chart or kustomize. It needs cert-manager (docs/install.md).
#
#   sed "s#ghcr.io/migration-proxy/migration-proxy:0.1.0#$IMAGE#" deploy/install.yaml | kubectl apply -f -
#
# installs it with the image that you built. Run migration-proxy restore --all
# before you delete it.
YAML
fi
cat <<'YAML'
---
apiVersion: v1
kind: Namespace
metadata:
  name: migration-proxy
  labels:
    app.kubernetes.io/name: migration-proxy
    pod-security.kubernetes.io/enforce: restricted
YAML
"$helm" template migration-proxy "${CHART:-deploy/chart}" --namespace migration-proxy --no-hooks
