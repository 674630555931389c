//go:build unix

package localpg

import (
	"errors"
	"math/rand/v2"
	"net"
)

// The ports to choose from lie below those that Linux and macOS give to outgoing
// connections. A client that keeps dialling a port of that range while the
// server is killed will one day be given the very port as its own, be connected
// to itself, and keep Resume from having it.
const portFrom, portTo = 20000, 32000

// freePort returns a port of 127.0.0.1 that nobody held a moment ago.
func freePort() (int, error) {
	for range 1000 {
		port := portFrom + rand.IntN(portTo-portFrom)
		listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, err
		}
		return port, nil
	}
	return 0, errors.New("find a free port on 127.0.0.1: a thousand between 20000 and 32000 could not be had")
}
