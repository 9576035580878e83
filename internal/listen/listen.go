package listen

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// TCP listens on the address. The error says how to choose another address
// with the flag, or with the environment variable of the flag.
func TCP(address Address, flag string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address.String())
	if err != nil {
		return nil, explain(err, flag)
	}
	return listener, nil
}

// Check listens on the address for a moment: it finds an address that is in use
// or not permitted. The error is that of TCP.
func Check(address Address, flag string) error {
	listener, err := TCP(address, flag)
	if err != nil {
		return err
	}
	return listener.Close()
}

// explain adds the way out, which depends on the reason.
func explain(err error, flag string) error {
	remedy := "choose another"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "end the process that has it, or choose another"
	case errors.Is(err, syscall.EACCES):
		remedy = "low ports need CAP_NET_BIND_SERVICE: choose one from 1024 up"
	}
	return fmt.Errorf("%w; %s with --%s or $%s", err, remedy, flag, names.EnvironmentVariable(flag))
}
