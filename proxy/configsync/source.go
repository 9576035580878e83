package configsync

import (
	"context"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
)

// Source is where the migration config comes from: a File or a ConfigMap.
type Source interface {
	// String names the source in messages.
	String() string
	// Run calls receive with each version of the config, or with the reason why
	// there is none, until ctx ends. The calls do not overlap.
	Run(ctx context.Context, receive func(text []byte, err error)) error
	// Reread makes Run call receive with the newest version once more.
	Reread()
	// Linger is how long a service that the config no longer has is still
	// answered, by old.
	Linger() time.Duration
	// LastGood is the last valid version that the source itself has stored, and
	// the name of the place; nil if there is none.
	LastGood(ctx context.Context) (name string, text []byte)
}

// File is a local config file.
type File struct {
	*config.File
	path string
}

// NewFile reads the config from the file; it need not exist yet.
func NewFile(path string) *File { return &File{config.NewFile(path), path} }

// String is the path.
func (f *File) String() string { return f.path }

// Linger is zero: the user who edits the file also controls the traffic to the
// proxy.
func (f *File) Linger() time.Duration { return 0 }

// LastGood is nothing: a file has no stored versions.
func (f *File) LastGood(context.Context) (string, []byte) { return "", nil }
