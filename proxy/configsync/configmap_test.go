package configsync

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// recorder appends what a source reports: the text, or the text of the error.
func recorder(reported *[]string) func([]byte, error) {
	return func(text []byte, err error) {
		if err != nil {
			text = []byte(err.Error())
		}
		*reported = append(*reported, string(text))
	}
}

func newConfigMap(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "migration-config"},
		Data:       map[string]string{"migration.yaml": text},
	}
}

// TestConfigMapBeforeTheFirstAnswer: each reason is reported once, and none
// after the API server has answered.
func TestConfigMapBeforeTheFirstAnswer(t *testing.T) {
	t.Parallel()
	var reported []string
	source := NewConfigMap(kube.NamedConfigMap{Namespace: "ns", Name: "migration-config"}, time.Minute)
	source.receive = recorder(&reported)
	source.Reread()
	require.Empty(t, reported, "nothing is known")

	refused := func(query string) error {
		return &url.Error{Op: "Get", URL: "https://10.0.0.1/?" + query, Err: errors.New("connection refused")}
	}
	source.reportUnavailable(refused("timeout=1s"))
	source.reportUnavailable(refused("timeout=2s"))
	source.reportUnavailable(errNoAnswer)
	source.reportUnavailable(errors.New("forbidden"))
	require.Equal(t, []string{
		"ConfigMap ns/migration-config cannot be read yet: connection refused",
		"ConfigMap ns/migration-config cannot be read yet: forbidden",
	}, reported)

	reported = nil
	source.received(newConfigMap("services: []"))
	source.reportUnavailable(refused(""))
	source.reportUnavailable(errNoAnswer)
	source.Reread()
	source.received(nil)
	require.Len(t, reported, 3)
	require.Equal(t, []string{"services: []", "services: []"}, reported[:2])
	require.Contains(t, reported[2], "does not exist yet")
	require.Equal(t, time.Minute, source.Linger())
}

func TestConfigMapNoAnswer(t *testing.T) {
	t.Parallel()
	var reported []string
	source := NewConfigMap(kube.NamedConfigMap{Namespace: "ns", Name: "migration-config"}, 0)
	source.receive = recorder(&reported)
	source.reportUnavailable(errNoAnswer)
	source.reportUnavailable(errors.New("connection refused"))
	require.Equal(t, []string{
		"ConfigMap ns/migration-config cannot be read yet: the API server does not answer within 3s",
		"ConfigMap ns/migration-config cannot be read yet: connection refused",
	}, reported)
}

// TestConfigMapRunWithoutAPIServer: a connection that is refused is reported.
func TestConfigMapRunWithoutAPIServer(t *testing.T) {
	t.Parallel()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://127.0.0.1:1"})
	require.NoError(t, err)
	source := NewConfigMap(kube.NamedConfigMap{
		Client: client, Namespace: "ns", Name: "migration-config", Log: slog.New(slog.DiscardHandler),
	}, 0)
	ctx, cancel := context.WithCancel(t.Context())
	reasons, ended := make(chan error, 8), make(chan error, 1)
	go func() { ended <- source.Run(ctx, func(_ []byte, err error) { reasons <- err }) }()
	require.ErrorContains(t, <-reasons, "ConfigMap ns/migration-config cannot be read yet: ")
	cancel()
	require.NoError(t, <-ended)
}

func TestConfigMapLastGood(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	source := NewConfigMap(kube.NamedConfigMap{Client: client, Namespace: "ns", Name: "migration-config"}, 0)
	_, text := source.LastGood(t.Context())
	require.Nil(t, text)
	_, err := client.CoreV1().ConfigMaps("ns").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "migration-state"}, Data: map[string]string{"last-good.yaml": "services: []"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	name, text := source.LastGood(t.Context())
	require.Equal(t, "ns/migration-state[last-good.yaml]", name)
	require.Equal(t, "services: []", string(text))
}
