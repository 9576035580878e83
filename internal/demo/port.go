package demo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Linux takes the ports of outgoing connections from 32768 up. A port below
// stays free while a cluster is killed, and no client connects to itself.
const (
	firstPort = 20000
	lastPort  = 32767
)

// listenOnFreePort listens on a free port of 127.0.0.1.
func listenOnFreePort() (net.Listener, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return listener, nil
		}
	}
	return nil, errors.New("find a free port: 1000 ports from 20000 to 32767 on 127.0.0.1 are in use")
}

// freeAddress is a free port of 127.0.0.1 for another process.
func freeAddress() (string, error) {
	listener, err := listenOnFreePort()
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
