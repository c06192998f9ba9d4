package tunnel

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tunnels/internal/netx"
)

// associateBy sends the given SOCKS5 request for an association over any stream network
// and returns the application's side of the association.
func associateBy(t *testing.T, network, front, request string) *socksUDP {
	t.Helper()
	c, err := net.Dial(network, front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("\x05\x01\x00" + request)); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 12)
	for n := 0; n < len(said); {
		m, err := c.Read(said[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	if said[3] != 0 || said[5] != 1 {
		t.Fatalf("reply % x, want an IPv4 address", said[2:])
	}
	s := &socksUDP{relay: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte(said[6:10])), binary.BigEndian.Uint16(said[10:])))}
	if s.UDPConn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.UDPConn.Close() })
	return s
}

// TestAssociateWithTarget checks that a request for an association may contain a
// target, which many programs send where RFC 1928 expects the address they will send
// from.
func TestAssociateWithTarget(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	target := echoAddr(t)
	for what, dst := range map[string]string{
		"a name and its port":         "\x03\x0bexample.com\x00\x35",
		"localhost and another port":  "\x03\x09localhost\x13\x37",
		"an invalid name":             "\x03\x03a b\x13\x37",
		"a foreign address":           "\x01\x08\x08\x08\x08\x00\x35",
		"a foreign address as a name": "\x03\x078.8.8.8\x00\x35",
		"a foreign IPv6 address":      "\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x35",
		"nothing":                     "\x01\x00\x00\x00\x00\x00\x00",
	} {
		t.Run(what, func(t *testing.T) {
			s := associateBy(t, "tcp", r.client.Addr().String(), "\x05\x03\x00"+dst)
			s.ask(t, target, "ping")
			s.ask(t, "[127.0.0.1]:"+portOf(target), "in brackets")
		})
	}
}

// portOf returns the port of an IPv4 host:port.
func portOf(address string) string {
	_, port, _ := strings.Cut(address, ":")
	return port
}

// TestAssociationByUNIX checks that the control connection may be a UNIX socket.
func TestAssociationByUNIX(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socks")
	r := start(t, "remux", "tls", "tcp", func(c *Config) {
		c.ClientAddrs = append(c.ClientAddrs, netx.Endpoint{Network: "unix", Address: path})
	})
	_ = r
	s := associateBy(t, "unix", path, "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00")
	s.ask(t, echoAddr(t), "ping")
}

// TestSwarm sends a datagram to each of a thousand peers with different addresses, then
// has them all reply and checks that every reply arrives.
func TestSwarm(t *testing.T) {
	const peers = 1000
	r := start(t, "remux", "tls", "tcp", nil)
	s := r.associate(t)
	// Windows and macOS have only one loopback address.
	probe, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 9, 0, 1)})
	if err != nil {
		t.Skipf("this system has only one loopback address: %v", err)
	}
	probe.Close()
	heard := make([]netip.AddrPort, peers)
	sockets := make([]*net.UDPConn, peers)
	b := make([]byte, 100)
	for i := range sockets {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 9, byte(i>>8), byte(i))})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sockets[i] = c
		if err := s.send(c.LocalAddr().String(), []byte("ask")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil || string(b[:n]) != "ask" {
			t.Fatalf("peer %d received %q, %v", i, b[:n], err)
		}
		heard[i] = from
	}
	for i, c := range sockets {
		if _, err := c.WriteToUDPAddrPort(fmt.Append(nil, i), heard[i]); err != nil {
			t.Fatal(err)
		}
		if got, from := s.receive(t); got != fmt.Sprint(i) || from != c.LocalAddr().String() {
			t.Fatalf("received %q from %s, want the reply of peer %d at %v", got, from, i, c.LocalAddr())
		}
	}
}
