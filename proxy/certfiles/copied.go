package certfiles

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A copy is a directory DIR/SOURCE-CONTENT, both parts hashes, with these files.
const (
	certName = "cert.pem"
	keyName  = "key.pem"
)

// copied is a source with its newest good copy.
type copied struct {
	from     source
	dir      string // of all copies
	infos    []fs.FileInfo
	current  *pair // nil until a copy was made
	previous *pair
	refused  string // content hash that nginx did not accept
	// problem is why the newest content is not used. It counts once it was seen
	// twice: files that are written one after the other do not match for a moment.
	problem  string
	reported bool
}

// pair is a copy; key is "" for trusted certificates.
type pair struct{ cert, key, content string }

// refresh copies the files if they have changed and are good, and reports whether
// it did.
func (c *copied) refresh(log *slog.Logger) bool {
	before, err := stat(c.from.files())
	if err == nil && same(before, c.infos) {
		return false
	}
	var next *pair
	if err == nil {
		next, err = c.copy()
	}
	if err != nil {
		c.report(err, log)
		return false
	}
	after, err := stat(c.from.files())
	if err == nil && same(before, after) {
		c.infos = after
	}
	return c.use(next, log)
}

func (c *copied) use(next *pair, log *slog.Logger) bool {
	if next.content == c.refused {
		return false
	}
	if c.reported {
		log.Info("certificate files usable again", "files", c.from.files())
	}
	c.problem, c.reported, c.refused = "", false, ""
	if c.current != nil && c.current.content == next.content {
		return false
	}
	if c.current != nil {
		log.Info("certificate files changed", "files", c.from.files())
	}
	c.previous, c.current = c.current, next
	return true
}

func (c *copied) report(err error, log *slog.Logger) {
	if c.problem != err.Error() {
		c.problem, c.reported = err.Error(), false
		return
	}
	if !c.reported {
		c.reported = true
		log.Warn("certificate files not usable, keeping the last good ones", "files", c.from.files(), "error", err)
	}
}

// refuse goes back to the copy before.
func (c *copied) refuse(reason string, log *slog.Logger) {
	c.refused = c.current.content
	c.current, c.previous = c.previous, nil
	c.problem, c.reported = "nginx does not accept it: "+reason, true
	log.Warn("certificate files not accepted by nginx, keeping the last good ones", "files", c.from.files(), "error", reason)
}

// copy reads, checks and copies the files.
func (c *copied) copy() (*pair, error) {
	texts := make([][]byte, 0, 2)
	for _, file := range c.from.files() {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a certificate file: %w", err)
		}
		texts = append(texts, text)
	}
	if err := c.from.check(texts); err != nil {
		return nil, err
	}
	content := hash(texts...)
	next := c.from.at(filepath.Join(c.dir, c.from.hash()+"-"+content))
	if _, err := os.Stat(next.cert); err == nil {
		return next, nil
	}
	if err := write(filepath.Dir(next.cert), texts); err != nil {
		return nil, fmt.Errorf("copy %s: %w", c.from.cert, err)
	}
	return next, nil
}

func (s source) check(texts [][]byte) error {
	if s.key != "" {
		if _, err := tls.X509KeyPair(texts[0], texts[1]); err != nil {
			return fmt.Errorf("%s and %s are not a certificate and its key: %w", s.cert, s.key, err)
		}
		return nil
	}
	if !x509.NewCertPool().AppendCertsFromPEM(texts[0]) {
		return errors.New(s.cert + " has no certificate in PEM")
	}
	return nil
}

// at gives the copy in a directory.
func (s source) at(dir string) *pair {
	p := &pair{cert: filepath.Join(dir, certName)}
	_, p.content, _ = strings.Cut(filepath.Base(dir), "-")
	if s.key != "" {
		p.key = filepath.Join(dir, keyName)
	}
	return p
}

func (s source) hash() string { return hash([]byte(s.cert), []byte(s.key))[:8] }

func hash(texts ...[]byte) string {
	sum := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(sum, "%d ", len(text))
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// write makes a directory with the copies in one step.
func write(dir string, texts [][]byte) error {
	unfinished := filepath.Join(filepath.Dir(dir), ".tmp-"+filepath.Base(dir))
	err := os.RemoveAll(unfinished)
	if err == nil {
		err = os.MkdirAll(unfinished, 0o700)
	}
	for i, name := range []string{certName, keyName}[:len(texts)] {
		if err == nil {
			err = os.WriteFile(filepath.Join(unfinished, name), texts[i], 0o600)
		}
	}
	if err == nil {
		err = os.Rename(unfinished, dir)
	}
	return err
}

// newestCopy begins with the newest copy of a predecessor, if there is one.
func newestCopy(dir string, from source) *copied {
	c := &copied{from: from, dir: dir}
	found, _ := filepath.Glob(filepath.Join(dir, from.hash()+"-*")) // the pattern is well-formed
	slices.SortFunc(found, func(a, b string) int { return modified(b).Compare(modified(a)) })
	for _, folder := range found {
		candidate := from.at(folder)
		if readable(candidate, from) {
			c.current = candidate
			return c
		}
	}
	return c
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func readable(p *pair, from source) bool {
	texts := [][]byte{}
	for _, file := range (source{p.cert, p.key}).files() {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		texts = append(texts, text)
	}
	return from.check(texts) == nil
}

// removeCopies removes all copies but those in use.
func removeCopies(dir string, inUse func(cert string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if folder := filepath.Join(dir, entry.Name()); !inUse(filepath.Join(folder, certName)) {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}
	if err != nil {
		return fmt.Errorf("remove copies of certificate files: %w", err)
	}
	return nil
}

func stat(files []string) ([]fs.FileInfo, error) {
	infos := make([]fs.FileInfo, len(files))
	for i, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, fmt.Errorf("read a certificate file: %w", err)
		}
		infos[i] = info
	}
	return infos, nil
}

func same(a, b []fs.FileInfo) bool {
	return slices.EqualFunc(a, b, func(x, y fs.FileInfo) bool {
		return os.SameFile(x, y) && x.Size() == y.Size() && x.ModTime().Equal(y.ModTime())
	})
}
