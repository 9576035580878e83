package configsync

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

const (
	// firstAnswerTimeout is how long a proxy that starts waits for the API
	// server before it serves its last good config.
	firstAnswerTimeout = 3 * time.Second
	// lastGoodTimeout is the time limit of LastGood.
	lastGoodTimeout = 3 * time.Second
)

var (
	errNotAsked = errors.New("the API server has not been asked yet")
	errNoAnswer = fmt.Errorf("the API server does not answer within %s", firstAnswerTimeout)
)

// ConfigMap is the config in a ConfigMap. The API server may be away. Before
// its first answer this is reported like a file that cannot be read; later the
// last version simply stays.
type ConfigMap struct {
	object kube.NamedConfigMap
	linger time.Duration

	mu       sync.Mutex // also keeps the calls of receive apart
	receive  func([]byte, error)
	answered bool // the API server has answered at least once
	text     []byte
	err      error
}

// NewConfigMap follows the ConfigMap. Linger is described at Source.
func NewConfigMap(object kube.NamedConfigMap, linger time.Duration) *ConfigMap {
	return &ConfigMap{object: object, linger: linger, err: errNotAsked}
}

// String is "NAMESPACE/NAME".
func (c *ConfigMap) String() string { return c.object.String() }

// Linger is the duration that NewConfigMap was given.
func (c *ConfigMap) Linger() time.Duration { return c.linger }

// Run implements Source.
func (c *ConfigMap) Run(ctx context.Context, receive func([]byte, error)) error {
	c.mu.Lock()
	c.receive = receive
	c.mu.Unlock()
	timer := time.AfterFunc(firstAnswerTimeout, func() { c.reportUnavailable(errNoAnswer) })
	defer timer.Stop()
	followed := c.object
	followed.OnError = c.reportUnavailable
	return followed.Follow(ctx, c.received)
}

// received takes a version of the ConfigMap; nil means that it does not exist.
func (c *ConfigMap) received(configMap *corev1.ConfigMap) {
	text, err := c.object.ConfigText(configMap)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered, c.text, c.err = true, text, err
	c.receive(text, err)
}

// reportUnavailable reports why there is no first answer yet, once for each
// reason. The reason has no URL: the URL has times in it, so each attempt would
// be a new reason.
func (c *ConfigMap) reportUnavailable(err error) {
	if request := new(url.Error); errors.As(err, &request) {
		err = request.Err
	}
	reported := fmt.Errorf("ConfigMap %s cannot be read yet: %w", c.object, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered || c.isReported(reported) {
		return
	}
	c.err = reported
	c.receive(nil, reported)
}

// isReported is also true for the time-out when a better reason is reported.
func (c *ConfigMap) isReported(err error) bool {
	return err.Error() == c.err.Error() || errors.Is(err, errNoAnswer) && !errors.Is(c.err, errNotAsked)
}

// Reread reports the last version once more. The API server is not asked: each
// change of the ConfigMap arrives by itself.
func (c *ConfigMap) Reread() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered {
		c.receive(c.text, c.err)
	}
}

// LastGood is the config that the watcher has stored. A failed read is not
// reported: Run has reported already how the same API server answers.
func (c *ConfigMap) LastGood(ctx context.Context) (string, []byte) {
	ctx, cancel := context.WithTimeout(ctx, lastGoodTimeout)
	defer cancel()
	name, text, err := kube.LastGood(ctx, c.object.Client, c.object.Namespace)
	if err != nil {
		return "", nil
	}
	return name, text
}
