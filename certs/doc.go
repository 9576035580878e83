// Package certs is the webhook's certificate: the cert-manager objects that
// make and renew it, and the certificate at work, read again whenever it
// changes.
//
// Takes: a namespace, or the directory that the Secret is mounted at. Gives:
// the objects that must exist; the certificate for each new connection; what
// is wrong with it; when it ends, as a metric. Refuses: to read Secrets by the
// API (the pod needs no right to), and to make certificates itself.
//
// A new certificate reaches the pod by itself: cert-manager writes the Secret,
// the kubelet the files, and the next handshake uses it. Connections that are
// open stay open.
//
// It imports cert-manager's and Kubernetes' API types and controller-runtime.
// Only the composition root may import it.
package certs
