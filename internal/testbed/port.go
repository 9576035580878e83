package testbed

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Outgoing connections never use ports below 32768, where Linux's default range
// begins. A killed backend with a port from that range could not be revived, and a
// client that connects to it could connect to itself.
const (
	firstPort = 20000
	lastPort  = 32767
)

// A port that FreePort gives is free for a moment before its server listens, and again
// while that is down, so processes of tests that run beside each other must not take it.
// Each takes its ports from blocks that it holds: by a unix socket with the number of the
// block, in the kernel's abstract namespace. It ends with the process, and each network
// namespace has its own, as it has ports of its own.
const blockSize = 64

// ports are those of this process.
var ports struct {
	sync.Mutex
	left   []int
	blocks []net.Listener // held until the process ends
}

// FreePort gives a free port of 127.0.0.1. It never gives the same port twice in one
// process, nor one that another process has got from it and may use.
func FreePort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	for {
		if len(ports.left) == 0 {
			if err := takeBlock(); err != nil {
				return 0, err
			}
		}
		port := ports.left[0]
		ports.left = ports.left[1:]
		if isFree(port) {
			return port, nil
		}
	}
}

// takeBlock takes any block of ports that no process holds.
func takeBlock() error {
	const blocks = (lastPort - firstPort + 1) / blockSize
	for _, block := range rand.Perm(blocks) {
		held, err := net.Listen("unix", fmt.Sprintf("@migration-proxy-testbed-ports-%d", block))
		if err != nil {
			continue
		}
		ports.blocks = append(ports.blocks, held)
		for i := range blockSize {
			ports.left = append(ports.left, firstPort+block*blockSize+i)
		}
		return nil
	}
	return fmt.Errorf("find a free port: tests hold all %d blocks of ports from %d to %d", blocks, firstPort, lastPort)
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp4", loopback(port))
	return err == nil && CloseAtOnce(listener.(*net.TCPListener)) == nil
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
