package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher"
)

// source is where the migration config comes from: a file or a ConfigMap.
type source interface {
	// String is what messages call it.
	String() string
	// Run calls take with each version, or with why there is none, one call
	// after the other, until ctx ends.
	Run(ctx context.Context, take func(text []byte, err error)) error
	// Reread lets Run call take with the newest version once more.
	Reread()
	// Linger is how long a service that leaves the config is still answered, by
	// old: who sends traffic may learn of it later than we do.
	Linger() time.Duration
	// LastGood is what others remember as the last valid version, and where;
	// nil when nobody does.
	LastGood(ctx context.Context) (name string, text []byte)
}

// fileSource is a local file.
type fileSource struct {
	*config.File
	path string
}

func newFileSource(path string) *fileSource { return &fileSource{config.NewFile(path), path} }

func (s *fileSource) String() string                            { return s.path }
func (s *fileSource) Linger() time.Duration                     { return 0 } // who edits it, rules over both
func (s *fileSource) LastGood(context.Context) (string, []byte) { return "", nil }

const (
	// firstAnswer is how long a proxy that starts waits for the API server
	// before it serves what it served last.
	firstAnswer = 3 * time.Second
	// stateTimeout bounds one reading of migration-state.
	stateTimeout = 3 * time.Second
)

var (
	errUnasked = errors.New("the API server has not been asked yet")
	errSilent  = fmt.Errorf("the API server does not answer within %s", firstAnswer)
)

// configMapSource is a ConfigMap. The API server may be away: before its first
// answer that is told like a file that cannot be read, later the last version
// simply stays.
type configMapSource struct {
	object kube.Object

	mu    sync.Mutex // also keeps the calls of take apart
	take  func([]byte, error)
	heard bool // the API server has answered
	text  []byte
	err   error
}

func newConfigMapSource(object kube.Object) *configMapSource {
	return &configMapSource{object: object, err: errUnasked}
}

func (s *configMapSource) String() string { return s.object.String() }

// Linger covers the watcher, which puts the Ingress back, and the controller.
func (s *configMapSource) Linger() time.Duration { return watcher.ControllerLag }

func (s *configMapSource) Run(ctx context.Context, take func([]byte, error)) error {
	s.mu.Lock()
	s.take = take
	s.mu.Unlock()
	late := time.AfterFunc(firstAnswer, func() { s.silence(errSilent) })
	defer late.Stop()
	following := s.object
	following.Trouble = s.silence
	return following.Follow(ctx, func(configMap *corev1.ConfigMap) {
		text, err := s.object.ConfigText(configMap)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.heard, s.text, s.err = true, text, err
		take(text, err)
	})
}

// silence tells, once for each different reason, that there is no first
// answer yet. The address that was asked for is left out: it has times in it,
// so that each attempt would be another reason.
func (s *configMapSource) silence(err error) {
	if asked := new(url.Error); errors.As(err, &asked) {
		err = asked.Err
	}
	err = fmt.Errorf("ConfigMap %s cannot be read yet: %w", s.object, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard || s.err.Error() == err.Error() || errors.Is(err, errSilent) && !errors.Is(s.err, errUnasked) {
		return
	}
	s.err = err
	s.take(nil, err)
}

// Reread tells what is known; asking is not necessary, for we hear of changes.
func (s *configMapSource) Reread() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard {
		s.take(s.text, s.err)
	}
}

// LastGood is what the watcher recorded. A failure is no news: the same API
// server has just been followed, and how that went was told.
func (s *configMapSource) LastGood(ctx context.Context) (string, []byte) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	name, text, err := kube.LastGood(ctx, s.object.Client, s.object.Namespace)
	if err != nil {
		return "", nil
	}
	return name, text
}
