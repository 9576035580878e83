package kube_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// newFailureLog writes one line "LEVEL message subject error" for each log
// entry.
func newFailureLog() (*kube.FailureLog, *bytes.Buffer) {
	text := &bytes.Buffer{}
	options := &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attr
	}}
	return kube.NewFailureLog(slog.New(slog.NewTextHandler(text, options))), text
}

// TestFailureLogLogsEachOnce: a failure, another error, and the recovery.
func TestFailureLogLogsEachOnce(t *testing.T) {
	t.Parallel()
	failures, text := newFailureLog()
	require.False(t, failures.Report("Ingress a", nil))
	require.True(t, failures.Report("Ingress a", errors.New("no route")))
	require.False(t, failures.Report("Ingress a", errors.New("no route")))
	require.True(t, failures.Report("Ingress a", errors.New("forbidden")))
	require.Equal(t, 1, failures.Count())
	require.False(t, failures.Report("Ingress a", nil))
	require.False(t, failures.Report("Ingress a", nil))
	require.Zero(t, failures.Count())
	require.Equal(t, `level=WARN msg="attempt failed, retrying" subject="Ingress a" error="no route"
level=WARN msg="attempt failed, retrying" subject="Ingress a" error=forbidden
level=INFO msg="attempt succeeded again" subject="Ingress a"
`, text.String())
}

// TestFailureLogIsBounded: five failing subjects have lines; a place is free
// again when one of them recovers.
func TestFailureLogIsBounded(t *testing.T) {
	t.Parallel()
	failures, text := newFailureLog()
	for i := range 7 {
		require.True(t, failures.Report(fmt.Sprint("Ingress ", i), errors.New("no route")))
	}
	require.Equal(t, 7, failures.Count())
	require.Equal(t, 5, strings.Count(text.String(), "WARN msg=\"attempt failed"))
	require.Equal(t, 1, strings.Count(text.String(), "further failures"))
	require.Equal(t, 2, strings.Count(text.String(), "DEBUG"))
	text.Reset()
	require.False(t, failures.Report("Ingress 6", nil))
	require.Empty(t, text.String(), "its failure was not logged")
	require.False(t, failures.Report("Ingress 0", nil))
	require.True(t, failures.Report("Ingress 8", errors.New("no route")))
	require.Contains(t, text.String(), `WARN msg="attempt failed, retrying" subject="Ingress 8"`)
}

// TestFailureLogIgnoresFirstConflicts: four in a row are normal.
func TestFailureLogIgnoresFirstConflicts(t *testing.T) {
	t.Parallel()
	failures, text := newFailureLog()
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "ingresses"}, "api", errors.New("changed"))
	for range 4 {
		require.False(t, failures.Report("Ingress a", conflict))
	}
	require.Empty(t, text.String())
	require.True(t, failures.Report("Ingress a", conflict))
	require.False(t, failures.Report("Ingress a", nil))
	require.False(t, failures.Report("Ingress a", conflict), "the count begins again")
}
