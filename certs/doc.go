// Package certs has the certificate of the webhook: a Reloader serves the newest one. The
// cert-manager objects that issue and renew it are in deploy/chart.
//
// Takes:
//   - a namespace
//   - the directory where the Secret is mounted
//
// Gives:
//   - the certificate for each new connection
//   - the reason why the API server would not accept it
//   - the time when it expires, as a metric
//
// Refuses:
//   - to read Secrets through the API: the pod needs no right to
//   - to issue certificates itself
//
// A new certificate takes this way: cert-manager writes the Secret, the kubelet
// writes the files, and the next handshake uses them. Open connections stay
// open.
package certs
