package testbed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Ports below 32768 are never taken by outgoing connections (Linux's default
// range begins there). With a port from that range a killed backend could not
// be revived, and a client that connects to it could reach itself.
const (
	firstPort = 20000
	lastPort  = 32767
)

var given sync.Map // ports that this process was told about

// FreePort gives a port of 127.0.0.1 on which nobody listens. It never gives
// the same port twice to one process.
func FreePort() (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		listener, err := net.Listen("tcp4", loopback(port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, errors.New("find a free port: tried 1000 of 20000 to 32767 on 127.0.0.1, none is free")
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// listenAnywhere tries again when another process took the port meanwhile.
func listenAnywhere() (net.Listener, error) {
	var last error
	for range 10 {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		listener, err := net.Listen("tcp4", loopback(port))
		if err == nil {
			return listener, nil
		}
		last = err
	}
	return nil, fmt.Errorf("listen on loopback: %w", last)
}

// listenAgain waits while the address is in use: a process that is just being
// started holds a copy of our closed listener, from its fork to its exec.
func listenAgain(address string) (net.Listener, error) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		listener, err := net.Listen("tcp4", address)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return listener, err
		}
	}
}
