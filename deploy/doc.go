// Package deploy has only tests, of the installation: the Helm chart in chart/,
// install.yaml that is rendered from it, the example ConfigMap, the rights of each
// service account, and the links in the documents.
//
// Takes:
//   - the chart, rendered by the real helm: $HELM, the one that make controlplane
//     builds, or the one in PATH
//
// Gives:
//   - that the API server knows every rendered object
//   - that the webhooks and the certificate are those of packages webhook and
//     certs
//   - that each service account has the rights that its code needs, and no others
//
// Refuses:
//   - to pass without helm
package deploy
