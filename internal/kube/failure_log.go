package kube

import (
	"log/slog"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// FailureReporter takes the result of each attempt at something. Report
// returns true for an error that differs from the last one of the subject.
type FailureReporter interface {
	Report(subject string, err error) bool
}

const (
	// maxLogged is how many failing subjects have log lines at the same time.
	// The others are logged at level debug, and Count has all.
	maxLogged = 5
	// toleratedConflicts is how often in a row an object may have changed
	// between read and write before that is logged: users and other programs
	// write too, so once or twice is normal.
	toleratedConflicts = 4
)

// FailureLog logs that a subject ("Ingress shop/shop") begins to fail, that it
// fails for another reason, and that it succeeds again, each once, however
// often it is retried. It may be used by several goroutines.
type FailureLog struct {
	log *slog.Logger

	mu      sync.Mutex
	failing map[string]*failure
	logged  int // how many of failing have log lines
}

type failure struct {
	text      string
	conflicts int
	logged    bool
}

// NewFailureLog makes a FailureLog without failures.
func NewFailureLog(log *slog.Logger) *FailureLog {
	return &FailureLog{log: log, failing: map[string]*failure{}}
}

// Report implements FailureReporter.
func (l *FailureLog) Report(subject string, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.recovered(subject)
		return false
	}
	known := l.failing[subject]
	if known == nil {
		known = &failure{}
		l.failing[subject] = known
	}
	if IsWriteConflict(err) && known.conflicts < toleratedConflicts {
		known.conflicts++
		return false
	}
	if known.text == err.Error() {
		return false
	}
	known.text = err.Error()
	l.write(subject, known)
	return true
}

func (l *FailureLog) write(subject string, failed *failure) {
	if !failed.logged && l.logged == maxLogged {
		l.log.Debug("attempt failed, retrying", "subject", subject, "error", failed.text)
		return
	}
	if !failed.logged {
		failed.logged = true
		l.logged++
	}
	l.log.Warn("attempt failed, retrying", "subject", subject, "error", failed.text)
	if l.logged == maxLogged {
		l.log.Warn("further failures are logged at level debug only", "failing", maxLogged)
	}
}

func (l *FailureLog) recovered(subject string) {
	known := l.failing[subject]
	if known == nil {
		return
	}
	delete(l.failing, subject)
	if known.logged {
		l.logged--
		l.log.Info("attempt succeeded again", "subject", subject)
	}
}

// Count is the number of subjects whose last attempt failed.
func (l *FailureLog) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failing)
}

// IsWriteConflict reports whether a write was refused because the object is
// not the one that the write was computed for: a test of the JSON Patch failed
// (the API server answers Invalid), another client wrote or created the object
// first, or it does not exist.
func IsWriteConflict(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}
