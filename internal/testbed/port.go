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

// Outgoing connections never use ports below 32768, where Linux's default range
// begins. A killed backend with a port from that range could not be revived, and a
// client that connects to it could connect to itself.
const (
	firstPort = 20000
	lastPort  = 32767
)

// usedPorts are the ports that FreePort has given.
var usedPorts sync.Map

// FreePort gives a free port of 127.0.0.1. It never gives the same port twice in one
// process.
func FreePort() (int, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if _, taken := usedPorts.LoadOrStore(port, true); taken {
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

// listenAnywhere tries another port when another process took the first in the
// meantime.
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

// listenAgain retries while the address is in use: a process that is being started has
// a copy of our closed listener between its fork and its exec.
func listenAgain(address string) (net.Listener, error) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		listener, err := net.Listen("tcp4", address)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return listener, err
		}
	}
}
