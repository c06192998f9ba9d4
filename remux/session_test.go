package remux

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// pair is a pool and a listener that know each other over loopback TCP.
func pair(t testing.TB, client, server Config) (*Pool, *SessionListener) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := server.NewListener(ln)
	p := client.NewPool("tcp", ln.Addr().String())
	t.Cleanup(func() {
		p.Close()
		l.Close()
	})
	return p, l
}

// TestNetConn holds a session to all that package net expects of a net.Conn.
func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		p, l := pair(t, Config{}, Config{})
		if c1, err = p.Dial(); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { p.Close(); l.Close() }, nil
	})
}
