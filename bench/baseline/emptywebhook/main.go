// Command emptywebhook is the admission webhook that bench compares `migration-proxy
// webhook` with. It is built on controller-runtime, with its defaults and a text
// log, and allows everything. With -edit it answers with that JSON Patch without
// reading the object.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

func main() {
	port := flag.Int("port", 0, "port on 127.0.0.1")
	certDir := flag.String("cert-dir", "", "directory with tls.crt and tls.key")
	path := flag.String("path", "/", "path of the webhook")
	edit := flag.String("edit", "", "file with the JSON Patch to answer with")
	unless := flag.String("unless", "", "objects that contain this text get no edit")
	flag.Parse()
	answer, err := answerWith(*edit, []byte(*unless))
	if err != nil {
		fmt.Fprintln(os.Stderr, "emptywebhook:", err)
		os.Exit(1)
	}
	ctrllog.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil)))
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{Host: "127.0.0.1", Port: *port, CertDir: *certDir})
	server.Register(*path, &admission.Webhook{Handler: answer})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := server.Start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "emptywebhook:", err)
		os.Exit(1)
	}
}

func answerWith(edit string, unless []byte) (admission.HandlerFunc, error) {
	if edit == "" {
		return allow, nil
	}
	patch, err := os.ReadFile(edit)
	return func(ctx context.Context, request admission.Request) admission.Response {
		response := allow(ctx, request)
		if !bytes.Contains(request.Object.Raw, unless) {
			response.Patch, response.PatchType = patch, new(admissionv1.PatchTypeJSONPatch)
		}
		return response
	}, err
}

func allow(context.Context, admission.Request) admission.Response { return admission.Allowed("") }
