package testbed

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Echo is the JSON of an answer: the request as the backend received it, with its
// body.
type Echo struct {
	Backend    string      `json:"backend"`
	Method     string      `json:"method"`
	Target     string      `json:"target"` // byte for byte
	Host       string      `json:"host"`
	SNI        string      `json:"sni"`
	Client     string      `json:"client"` // common name of the client's certificate
	Proto      string      `json:"proto"`
	Header     http.Header `json:"header"`
	Trailer    http.Header `json:"trailer"`
	BodyBytes  int64       `json:"body_bytes"`
	BodySHA256 string      `json:"body_sha256"` // hex
}

// Page is the content that "range" serves.
const Page = "0123456789abcdefghijklmnopqrstuvwxyz"

type behavior func(w http.ResponseWriter, r *http.Request, argument string)

// scripts are the answers that a path can select; see Do.
var scripts = map[string]behavior{
	"":           func(w http.ResponseWriter, r *http.Request, _ string) { echo(w, r, http.StatusOK) },
	"status":     status,
	"close":      closeUnanswered,
	"reset":      reset,
	"reset-body": resetMidBody,
	"hang":       hang,
	"slow":       slow,
	"big":        large,
	"sse":        serverSentEvents,
	"websocket":  websocketEcho,
	"unread":     unread,
	"hints":      hints,
	"redirect":   redirect,
	"cookie":     cookie,
	"gzip":       compressed,
	"range":      ranges,
	"trailer":    trailer,
}

// Do gives the answer that a script asks for, as a path may do after "/do/":
//
//	status/N         echo with status N
//	close            read the request, then close the connection
//	reset            read the request, then reset the connection
//	reset-body       half an answer, then a reset
//	hang             read the request and never answer
//	slow/N           N chunks, each flushed, 20 ms apart
//	big/N            N bytes, with Content-Length
//	sse/N            N server-sent events, 20 ms apart
//	websocket        echo of every message
//	unread           417 without reading the body (Expect: 100-continue)
//	hints            103 Early Hints, then the echo
//	redirect/own     302 to this Host by absolute URL, and a Refresh header
//	redirect/path    302 to a path
//	redirect/to?url= 302 to that URL
//	cookie/DOMAIN    Set-Cookie with that domain, or with this Host
//	gzip             gzip-encoded echo
//	range            Page, with ETag, ranges and conditions
//	trailer          chunked, with trailer X-Testbed-Trailer
//
// An empty script is the echo; an unknown one answers 501.
func Do(script string) http.Handler {
	name, argument, _ := strings.Cut(script, "/")
	run, known := scripts[name]
	if !known {
		run = func(w http.ResponseWriter, _ *http.Request, _ string) {
			http.Error(w, fmt.Sprintf("no script is named %q", name), http.StatusNotImplemented)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { run(w, r, argument) })
}

func number(argument string, otherwise int) int {
	n, err := strconv.Atoi(argument)
	if err != nil || n < 0 {
		return otherwise
	}
	return n
}

// echoText reads the whole body. After an incomplete body it describes the part that
// arrived.
func echoText(w http.ResponseWriter, r *http.Request) []byte {
	sum := sha256.New()
	size, _ := io.Copy(sum, r.Body)
	seen := recorded(r)
	text, err := json.Marshal(Echo{
		Backend: w.Header().Get(BackendHeader), Method: seen.Method, Target: seen.Target,
		Host: seen.Host, SNI: seen.SNI, Client: seen.Client, Proto: r.Proto,
		Header: seen.Header, Trailer: r.Trailer,
		BodyBytes: size, BodySHA256: hex.EncodeToString(sum.Sum(nil)),
	})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return append(text, '\n')
}

func echo(w http.ResponseWriter, r *http.Request, code int) {
	text := echoText(w, r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(code)
	_, _ = w.Write(text)
}

func status(w http.ResponseWriter, r *http.Request, argument string) {
	code := number(argument, 0)
	switch {
	case code < 200 || code > 999:
		http.Error(w, fmt.Sprintf("%q is not a final status", argument), http.StatusNotImplemented)
	case code == http.StatusNoContent || code == http.StatusNotModified:
		w.WriteHeader(code)
	default:
		echo(w, r, code)
	}
}

func large(w http.ResponseWriter, _ *http.Request, argument string) {
	left := number(argument, 1<<20)
	w.Header().Set("Content-Length", strconv.Itoa(left))
	block := bytes.Repeat([]byte("0123456789abcdef"), 2048)
	for left > 0 {
		n, err := w.Write(block[:min(left, len(block))])
		if err != nil {
			return
		}
		left -= n
	}
}

func unread(w http.ResponseWriter, _ *http.Request, _ string) {
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusExpectationFailed)
}

func hints(w http.ResponseWriter, r *http.Request, _ string) {
	w.Header().Set("Link", "</style.css>; rel=preload")
	w.WriteHeader(http.StatusEarlyHints)
	echo(w, r, http.StatusOK)
}

func redirect(w http.ResponseWriter, r *http.Request, argument string) {
	target := "/landed?by=redirect"
	switch argument {
	case "path":
	case "to":
		target = r.URL.Query().Get("url")
	default:
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		target = scheme + "://" + r.Host + target
		w.Header().Set("Refresh", "5; url="+target)
	}
	w.Header().Set("Location", target) // http.Redirect would rewrite it
	w.WriteHeader(http.StatusFound)
}

func cookie(w http.ResponseWriter, r *http.Request, argument string) {
	if argument == "" {
		argument = hostname(r.Host)
	}
	w.Header().Add("Set-Cookie", "session=1; Domain="+argument+"; Path=/; HttpOnly")
	echo(w, r, http.StatusOK)
}

func compressed(w http.ResponseWriter, r *http.Request, _ string) {
	text := echoText(w, r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	packer := gzip.NewWriter(w)
	_, _ = packer.Write(text)
	_ = packer.Close()
}

func ranges(w http.ResponseWriter, r *http.Request, _ string) {
	w.Header().Set("ETag", `"page-1"`)
	changed := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	http.ServeContent(w, r, "page.txt", changed, strings.NewReader(Page))
}

func trailer(w http.ResponseWriter, r *http.Request, _ string) {
	text := echoText(w, r)
	w.Header().Set("Trailer", "X-Testbed-Trailer")
	_, _ = w.Write(text)
	w.Header().Set("X-Testbed-Trailer", "at the end")
}
