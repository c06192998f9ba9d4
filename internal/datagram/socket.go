package datagram

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	socketMax = 1 << 20              // what may wait in the kernel, where it allows that
	idleAfter = time.Second          // a socket silent for that long is left without a buffer
	readPause = 5 * time.Millisecond // after an error that is none of the socket's end
)

// openSocket opens a UDP socket that is not connected, so that a closed port
// at one target is no error of it.
func openSocket(local netip.AddrPort) (*net.UDPConn, error) {
	c, err := net.ListenUDP(network(local.Addr()), net.UDPAddrFromAddrPort(local))
	if err != nil {
		return nil, fmt.Errorf("opening a UDP socket: %w", err)
	}
	_ = c.SetReadBuffer(socketMax) // less will do
	_ = c.SetWriteBuffer(socketMax)
	return c, nil
}

// network is the one that has such addresses and no others.
func network(a netip.Addr) string {
	if a.Is4() {
		return "udp4"
	}
	return "udp6"
}

// hear hands the datagrams that come to take, each valid for the call only,
// until the socket is closed. It gives its buffer away when nothing has come for the
// time idle, or twice that. Errors are survived: they are those of single
// datagrams, which some systems report to who reads next.
func hear(c *net.UDPConn, idle time.Duration, take func(from netip.AddrPort, data []byte)) {
	for waitReadable(c) == nil {
		b := getBuffer()
		err := hearWhileBusy(c, idle, b, take)
		putBuffer(b)
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(readPause) // if it should come again and again
		}
	}
}

// hearWhileBusy is hear with a buffer, until nothing has come for a while.
func hearWhileBusy(c *net.UDPConn, idle time.Duration, b *buffer, take func(netip.AddrPort, []byte)) error {
	for {
		if canWait {
			if err := c.SetReadDeadline(time.Now().Add(idle)); err != nil {
				return err
			}
		}
		heard, err := hearUntilError(c, b, take)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && heard:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return c.SetReadDeadline(time.Time{})
		default:
			return err
		}
	}
}

func hearUntilError(c *net.UDPConn, b *buffer, take func(netip.AddrPort, []byte)) (heard bool, err error) {
	for {
		n, from, err := c.ReadFromUDPAddrPort(b[:])
		switch {
		case err == nil:
			take(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), b[:n])
		case !isUnreachable(err):
			return heard, err
		}
		heard = true
	}
}
