package main

import (
	"cmp"
	"crypto/rand"
	"net"
	"net/http"
	"os"
	"strings"
)

// client is the address of the client's end of the connection.
func client(in *http.Request) string {
	address, _, err := net.SplitHostPort(in.RemoteAddr)
	if err != nil {
		return in.RemoteAddr
	}
	return address
}

// plainHeaders sets the forwarded headers to what the controller itself knows.
func plainHeaders(in *http.Request, out http.Header) {
	out.Set("X-Forwarded-For", client(in))
	out.Set("X-Forwarded-Host", in.Host)
	out.Set("X-Forwarded-Proto", "http")
	out.Set("X-Real-IP", client(in))
}

// ingressNginxHeaders are those of its default settings: use-forwarded-headers and
// enable-underscores-in-headers are off.
func ingressNginxHeaders(in *http.Request, out http.Header) {
	for name := range out {
		if strings.Contains(name, "_") {
			delete(out, name)
		}
	}
	out.Del("Te") // like all headers of one hop; net/http keeps "trailers"
	out.Set("X-Request-ID", cmp.Or(in.Header.Get("X-Request-ID"), strings.ToLower(rand.Text())))
	out.Set("X-Real-IP", client(in))
	out.Set("X-Forwarded-For", client(in))
	out.Set("X-Forwarded-Host", in.Host)
	out.Set("X-Forwarded-Port", "80")
	out.Set("X-Forwarded-Proto", "http")
	out.Set("X-Forwarded-Scheme", "http")
	out.Set("X-Scheme", "http")
	if before := in.Header.Get("X-Forwarded-For"); before != "" {
		out.Set("X-Original-Forwarded-For", before)
	}
}

// traefikHeaders are those of an entry point that trusts its clients
// (forwardedHeaders.trustedIPs): it appends to X-Forwarded-For, and keeps the others if
// there are any.
func traefikHeaders(in *http.Request, out http.Header) {
	out.Set("X-Forwarded-For", strings.Join(append(in.Header.Values("X-Forwarded-For"), client(in)), ", "))
	server, _ := os.Hostname()
	out.Set("X-Forwarded-Server", server)
	for name, value := range map[string]string{
		"X-Forwarded-Host": in.Host, "X-Forwarded-Port": "80", "X-Forwarded-Proto": "http", "X-Real-Ip": client(in),
	} {
		out.Set(name, cmp.Or(in.Header.Get(name), value))
	}
}

// haproxyHeaders are those of HAProxy Ingress with forwardfor "add", its default.
func haproxyHeaders(in *http.Request, out http.Header) {
	out.Set("X-Forwarded-For", client(in))
	out.Set("X-Forwarded-Proto", "http")
	out.Set("X-Real-IP", client(in))
	if before := in.Header.Get("X-Forwarded-For"); before != "" {
		out.Set("X-Original-Forwarded-For", before)
	}
	if host := in.Header.Get("X-Forwarded-Host"); host != "" {
		out.Set("X-Forwarded-Host", host) // it is not one of its headers
	}
}
