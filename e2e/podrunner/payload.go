package podrunner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// payload is the content of a volume.
type payload struct {
	defaultMode os.FileMode // of files without a mode of their own
	files       map[string]file
}

type file struct {
	content []byte
	mode    os.FileMode
}

func modeOf(own *int32, defaultMode os.FileMode) os.FileMode {
	if own == nil {
		return defaultMode
	}
	return os.FileMode(*own)
}

// take adds all content, or only the items if there are any. Content is nil for an
// optional source that does not exist.
func (p payload) take(content map[string][]byte, items []corev1.KeyToPath) error {
	if content == nil {
		return nil
	}
	if len(items) == 0 {
		for key, text := range content {
			p.files[key] = file{content: text, mode: p.defaultMode}
		}
	}
	for _, item := range items {
		text, known := content[item.Key]
		if !known {
			return fmt.Errorf("key %q does not exist", item.Key)
		}
		p.files[item.Path] = file{content: text, mode: modeOf(item.Mode, p.defaultMode)}
	}
	return nil
}

// current is the name of the symlink to the current content, as in Kubernetes'
// volumes. Programs that watch files know it.
const current = "..data"

// write replaces the content of the folder in one step: the files are in a folder of
// their own, ..data is a symlink to it, and the names are symlinks through ..data. The
// group gets read permission on all files; -1 means no group.
func (p payload) write(dir string, group int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	before, err := os.Readlink(filepath.Join(dir, current))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	fresh, err := os.MkdirTemp(dir, ".."+time.Now().UTC().Format("2006_01_02_15_04_05."))
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(fresh, 0o755), p.writeFiles(fresh, group)); err != nil {
		return err
	}
	if err := link(filepath.Base(fresh), filepath.Join(dir, current)); err != nil {
		return err
	}
	if err := p.linkNames(dir); err != nil || before == "" {
		return err
	}
	return os.RemoveAll(filepath.Join(dir, before))
}

func (p payload) writeFiles(dir string, group int) error {
	for name, file := range p.files {
		path := filepath.Join(dir, filepath.Join("/", name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, file.content, 0o600); err != nil {
			return err
		}
		mode := file.mode
		if group >= 0 {
			mode |= 0o440
		}
		if err := errors.Join(os.Chown(path, -1, group), os.Chmod(path, mode)); err != nil {
			return err
		}
	}
	return nil
}

// linkNames makes a symlink for each name at the top, and removes symlinks of names
// that no longer exist.
func (p payload) linkNames(dir string) error {
	wanted := map[string]bool{}
	for name := range p.files {
		top, _, _ := strings.Cut(filepath.Clean(name), "/")
		wanted[top] = true
	}
	have, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range have {
		if name := entry.Name(); !strings.HasPrefix(name, "..") && !wanted[name] {
			err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
		}
	}
	for top := range wanted {
		err = errors.Join(err, link(filepath.Join(current, top), filepath.Join(dir, top)))
	}
	return err
}

// link makes a symlink, or replaces the existing one.
func link(target, path string) error {
	fresh := path + ".fresh"
	if err := os.Symlink(target, fresh); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// token is a service account token that is bound to the Pod.
type token struct {
	text  string
	fresh time.Time // it is replaced after this time
}

// addToken adds a token. It requests a new one when 80 % of the lifetime is over.
func (v *volumes) addToken(ctx context.Context, all payload, source *corev1.ServiceAccountTokenProjection) error {
	have, known := v.tokens[source.Audience]
	if !known || time.Now().After(have.fresh) {
		var err error
		if have, err = v.worker.newToken(ctx, source); err != nil {
			return err
		}
		v.tokens[source.Audience] = have
	}
	all.files[source.Path] = file{content: []byte(have.text), mode: 0o644}
	return nil
}

func (w *podWorker) newToken(ctx context.Context, source *corev1.ServiceAccountTokenProjection) (token, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: w.pod.Name, UID: w.pod.UID},
	}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	accounts := w.kubelet.client.CoreV1().ServiceAccounts(w.pod.Namespace)
	answer, err := accounts.CreateToken(ctx, w.pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return token{}, fmt.Errorf("token of service account %s: %w", w.pod.Spec.ServiceAccountName, err)
	}
	lifetime := time.Until(answer.Status.ExpirationTimestamp.Time)
	return token{text: answer.Status.Token, fresh: time.Now().Add(lifetime * 8 / 10)}, nil
}
