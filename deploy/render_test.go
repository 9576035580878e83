package deploy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	chart     = "chart"
	namespace = "migration-proxy"
)

// helmBinary finds helm: $HELM, the one of make controlplane, or the one in PATH.
var helmBinary = sync.OnceValues(func() (string, error) {
	built := filepath.Join("..", "bin", "controlplane", "helm")
	for _, candidate := range []string{os.Getenv("HELM"), built, "helm"} {
		if found, err := exec.LookPath(candidate); candidate != "" && err == nil {
			return filepath.Abs(found)
		}
	}
	return "", errors.New("no helm: run make controlplane, or name one with $HELM")
})

// helm runs helm and gives its standard output; its standard error is the error.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	binary, err := helmBinary()
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), binary, args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", errors.New(strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// template renders the chart with --set arguments.
func template(t *testing.T, values ...string) (string, error) {
	t.Helper()
	args := []string{"template", "migration-proxy", chart, "--namespace", namespace}
	for _, value := range values {
		args = append(args, "--set", value)
	}
	return helm(t, args...)
}

// render gives the objects of the chart.
func render(t *testing.T, values ...string) []client.Object {
	t.Helper()
	text, err := template(t, values...)
	require.NoError(t, err)
	return decode(t, text)
}

// decode is strict: it fails on an unknown field, a duplicate field and a wrong
// type, where the API server fails or warns.
func decode(t *testing.T, text string) []client.Object {
	t.Helper()
	known := runtime.NewScheme()
	require.NoError(t, errors.Join(scheme.AddToScheme(known), certmanagerv1.AddToScheme(known)))
	decoder := serializer.NewCodecFactory(known, serializer.EnableStrict).UniversalDeserializer()
	var objects []client.Object
	for _, document := range documents(t, text) {
		object, _, err := decoder.Decode(document, nil, nil)
		require.NoError(t, err, "%s", document)
		objects = append(objects, object.(client.Object))
	}
	return objects
}

func documents(t *testing.T, text string) [][]byte {
	t.Helper()
	reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	var found [][]byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		if len(bytes.TrimSpace(withoutComments(document))) > 0 {
			found = append(found, document)
		}
	}
}

func withoutComments(document []byte) []byte {
	var kept [][]byte
	for line := range bytes.Lines(document) {
		if !bytes.HasPrefix(line, []byte("#")) && !bytes.HasPrefix(line, []byte("---")) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, nil)
}

// all gives the objects of one type.
func all[T client.Object](objects []client.Object) []T {
	var found []T
	for _, object := range objects {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// one gives the object of a type and name.
func one[T client.Object](t *testing.T, objects []client.Object, name string) T {
	t.Helper()
	for _, object := range all[T](objects) {
		if object.GetName() == name {
			return object
		}
	}
	require.Failf(t, "not rendered", "%T %s", *new(T), name)
	return *new(T)
}
