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
	socketMax = 1 << 20              // size of the kernel buffer, if the system allows it
	idleAfter = time.Second          // a socket idle for this long releases its buffer
	readPause = 5 * time.Millisecond // pause after an error that did not close the socket
)

// openSocket opens an unconnected UDP socket, so that a closed port at one target does
// not become an error on the socket.
func openSocket(local netip.AddrPort) (*net.UDPConn, error) {
	c, err := net.ListenUDP(network(local.Addr()), net.UDPAddrFromAddrPort(local))
	if err != nil {
		return nil, fmt.Errorf("opening a UDP socket: %w", err)
	}
	_ = c.SetReadBuffer(socketMax) // a smaller buffer will do
	_ = c.SetWriteBuffer(socketMax)
	return c, nil
}

// network returns the UDP network for a's address family only.
func network(a netip.Addr) string {
	if a.Is4() {
		return "udp4"
	}
	return "udp6"
}

// receive passes received datagrams to take, each valid only during the call, until the
// socket is closed. It releases its buffer after receiving nothing for between idle
// and twice idle. It ignores errors: they concern single datagrams, although some systems report
// them on the next read.
func receive(c *net.UDPConn, idle time.Duration, take func(from netip.AddrPort, data []byte)) {
	for waitReadable(c) == nil {
		b := getBuffer()
		err := receiveWhileBusy(c, idle, b, take)
		putBuffer(b)
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(readPause) // in case the error repeats
		}
	}
}

// receiveWhileBusy is receive with a buffer; it returns after receiving nothing for a while.
func receiveWhileBusy(c *net.UDPConn, idle time.Duration, b *buffer, take func(netip.AddrPort, []byte)) error {
	for {
		if canWait {
			if err := c.SetReadDeadline(time.Now().Add(idle)); err != nil {
				return err
			}
		}
		received, err := receiveUntilError(c, b, take)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && received:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return c.SetReadDeadline(time.Time{})
		default:
			return err
		}
	}
}

func receiveUntilError(c *net.UDPConn, b *buffer, take func(netip.AddrPort, []byte)) (received bool, err error) {
	for {
		n, from, err := c.ReadFromUDPAddrPort(b[:])
		switch {
		case err == nil:
			take(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), b[:n])
		case !isUnreachable(err):
			return received, err
		}
		received = true
	}
}
