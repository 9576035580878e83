package accesslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"
)

// FailureObserver is called for each failure of new.
type FailureObserver interface {
	// ObserveFailure must keep nothing of the event.
	ObserveFailure(event *Event, now time.Time)
}

// FailureSocket receives the lines that nginx sends at once, each a syslog
// datagram: the failures of new. It takes them off the socket before they are
// observed, because the kernel queues only net.unix.max_dgram_qlen of them (10
// by default; a larger receive buffer changes nothing). nginx drops the others
// and never waits. Five in a row fit.
type FailureSocket struct {
	Path     string // of the unix datagram socket
	Observer FailureObserver
	Log      *slog.Logger
	// Writer is the user of nginx's workers, if it is not that of this process; 0: it is,
	// or is not known.
	Writer int
}

// checkInterval is how often Run checks that the socket's file exists.
const checkInterval = time.Second

// Run listens until ctx ends. It makes a socket whose file was removed again.
func (s *FailureSocket) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.listen(ctx); err != nil {
			s.Log.Error("failure socket not available, failures count with the next batch, trying again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(checkInterval):
			}
		}
	}
	return nil
}

// listen serves one socket until ctx ends or its file is removed.
func (s *FailureSocket) listen(ctx context.Context) error {
	conn, err := s.open()
	if err != nil {
		return fmt.Errorf("open failure socket: %w", err)
	}
	defer func() { _ = conn.Close() }()
	waiting, observed := make(chan []byte, maxWaiting), make(chan struct{})
	go func() {
		defer close(observed)
		s.observeAll(waiting)
	}()
	defer func() { close(waiting); <-observed }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	return s.receive(ctx, conn, waiting)
}

func (s *FailureSocket) open() (*net.UnixConn, error) {
	if err := os.Remove(s.Path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.Path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := s.admit(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// admit lets only nginx's workers write: a writer can end a migration. They run as our
// own user, unless that is root. A user that is not in the list of users is known to
// nginx alone; then all may write that can enter the directory.
func (s *FailureSocket) admit() error {
	mode := os.FileMode(0o600)
	if os.Geteuid() == 0 && (s.Writer == 0 || os.Chown(s.Path, s.Writer, -1) != nil) {
		mode = 0o666
	}
	return os.Chmod(s.Path, mode)
}

// maxWaiting is how many datagrams wait while others are observed, for example
// while a fallback is written to disk: some hundred services can fail at once.
const maxWaiting = 4096

// receive queues datagrams. When too many wait, the next ones do not count for
// a trip, as those that the kernel could not queue; the access log has them.
func (s *FailureSocket) receive(ctx context.Context, conn *net.UnixConn, waiting chan<- []byte) error {
	buffer := make([]byte, 64<<10)
	for ctx.Err() == nil {
		if err := conn.SetReadDeadline(time.Now().Add(checkInterval)); err != nil {
			return fmt.Errorf("read failure socket: %w", err)
		}
		n, err := conn.Read(buffer)
		switch {
		case err == nil:
			select {
			case waiting <- bytes.Clone(buffer[:n]):
			default:
			}
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("read failure socket: %w", err)
		case removed(s.Path):
			return nil
		}
	}
	return nil
}

func removed(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}

func (s *FailureSocket) observeAll(datagrams <-chan []byte) {
	for datagram := range datagrams {
		if event, ok := parseDatagram(datagram); ok && !event.Compared() {
			s.Observer.ObserveFailure(&event, time.Now())
		}
	}
}

// syslogTag is the tag that nginxgen configures.
const syslogTag = "migration"

// parseDatagram reads "<190>Jan  1 12:00:00 migration: LINE". It ignores
// datagrams of other programs and lines that were cut off.
func parseDatagram(datagram []byte) (Event, bool) {
	_, line, found := bytes.Cut(datagram, []byte(syslogTag+": "))
	if !found {
		return Event{}, false
	}
	event, err := Parse(append(line, '\n'))
	return event, err == nil
}
