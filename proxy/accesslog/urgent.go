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

// Urgent receives the lines that nginx sends at once, each a syslog datagram:
// the failures of new. They are taken off the socket at once and judged after:
// the kernel holds only net.unix.max_dgram_qlen of them (10, unless the system
// was told otherwise; a larger receive buffer changes nothing). What comes on
// top nginx drops, and waits for nothing. Five in a row fit.
type Urgent struct {
	Path    string // of the unix datagram socket
	OnEvent func(event *Event, now time.Time)
	Log     *slog.Logger
}

// checkEvery is how often Run looks whether the socket is still where nginx
// looks for it.
const checkEvery = time.Second

// Run listens until ctx ends. A socket whose file has been removed is made
// again.
func (u *Urgent) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := u.listen(ctx); err != nil {
			u.Log.Error("failures are not heard at once; trying again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(checkEvery):
			}
		}
	}
	return nil
}

// listen serves one socket until ctx ends or its file is gone.
func (u *Urgent) listen(ctx context.Context) error {
	if err := os.Remove(u.Path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("urgent log: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: u.Path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("urgent log: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := os.Chmod(u.Path, socketMode()); err != nil {
		return fmt.Errorf("urgent log: %w", err)
	}
	judge, end := u.judging()
	defer end()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, 64<<10)
	for ctx.Err() == nil {
		if err := conn.SetReadDeadline(time.Now().Add(checkEvery)); err != nil {
			return fmt.Errorf("urgent log: %w", err)
		}
		n, err := conn.Read(buffer)
		switch {
		case err == nil:
			judge(buffer[:n])
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("urgent log: %w", err)
		case gone(u.Path):
			return nil
		}
	}
	return nil
}

// socketMode: who writes to the socket can end a migration. nginx's workers are
// ours, unless we are root: then they are of a user that nginx knows and we do
// not.
func socketMode() os.FileMode {
	if os.Geteuid() == 0 {
		return 0o666
	}
	return 0o600
}

// mostWaiting is how many datagrams may wait to be judged, while a fallback is
// written down for instance: some hundred services can fail at once.
const mostWaiting = 4096

// judging lets datagrams be judged one after another by a goroutine, until end
// is called. More than may wait are lost for the trip, as those that the kernel
// could not queue are; the access log has them.
func (u *Urgent) judging() (judge func([]byte), end func()) {
	waiting, judged := make(chan []byte, mostWaiting), make(chan struct{})
	go func() {
		defer close(judged)
		for text := range waiting {
			u.datagram(text)
		}
	}()
	judge = func(text []byte) {
		select {
		case waiting <- bytes.Clone(text):
		default:
		}
	}
	return judge, func() { close(waiting); <-judged }
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return os.IsNotExist(err)
}

// datagram is "<190>Jan  1 12:00:00 migration: LINE". What is no line of ours,
// or was cut off, does not count.
func (u *Urgent) datagram(text []byte) {
	_, line, ok := bytes.Cut(text, []byte(urgentTag+": "))
	if !ok {
		return
	}
	if event, err := Parse(append(line, '\n')); err == nil {
		u.OnEvent(&event, time.Now())
	}
}

// urgentTag is the syslog tag that nginxgen lets nginx write.
const urgentTag = "migration"
