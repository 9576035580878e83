// Package deploy has only tests, of what is installed: the Helm chart in
// chart/, install.yaml that is rendered from it, the example ConfigMap, the
// rights that each part has.
//
// Takes: the chart, rendered by the real helm: $HELM, the one that make
// controlplane builds, or the one in PATH.
// Gives: whether every rendered object is one that the API server knows,
// whether the webhooks and the certificate are what the rooms webhook and
// certs want, and whether nobody may do more, or less, than the code does.
// Refuses: to pass without helm.
//
// Nobody imports it.
package deploy
