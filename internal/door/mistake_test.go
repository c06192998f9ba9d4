package door_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"tunnels/internal/appconn"
)

// goner is the connection of an application that has sent something and disconnected.
// Answering it fails, and the error names a different port each time.
type goner struct {
	net.Conn
	said  string
	port  int
	reads int // number of answers it reads before disconnecting
}

func (g *goner) Read(b []byte) (int, error) {
	if g.said == "" {
		return 0, fmt.Errorf("read tcp 127.0.0.1:1080->127.0.0.1:%d: connection reset by peer", g.port)
	}
	n := copy(b, g.said)
	g.said = g.said[n:]
	return n, nil
}

func (g *goner) Write(b []byte) (int, error) {
	if g.reads > 0 {
		g.reads--
		return len(b), nil
	}
	return 0, fmt.Errorf("write tcp 127.0.0.1:1080->127.0.0.1:%d: broken pipe", g.port)
}

func (g *goner) Close() error                     { return nil }
func (g *goner) SetDeadline(time.Time) error      { return nil }
func (g *goner) SetReadDeadline(time.Time) error  { return nil }
func (g *goner) SetWriteDeadline(time.Time) error { return nil }

func (g *goner) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1080} }

func (g *goner) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: g.port}
}

// TestMistakeOfGoneApplication checks that a mistake always has the same text, so that
// repeats can be counted, even if the answer cannot be written.
func TestMistakeOfGoneApplication(t *testing.T) {
	known := knownUser{}
	for _, tt := range []struct {
		name, said string
		users      appconn.Authenticator
		reads      int
	}{
		{"TLS", "\x16\x03\x01\x02\x00", nil, 0},
		{"SOCKS5 methods", "\x05\x01\x02", nil, 0},
		{"SOCKS5 without a password", "\x05\x01\x00", known, 0},
		{"SOCKS5 BIND", "\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", nil, 1},
		{"SOCKS4 BIND", "\x04\x02\x00\x50\x7f\x00\x00\x01\x00", nil, 0},
		{"SOCKS4 user id", "\x04\x01\x00\x50\x7f\x00\x00\x01me\x00", known, 0},
		{"HTTP without a host", "GET / HTTP/1.1\r\n\r\n", nil, 0},
		{"HTTP line", "GET http://a.example/ HTTP/1.1 x\r\n\r\n", nil, 0},
		{"CONNECT without a port", "CONNECT a.example HTTP/1.1\r\n\r\n", nil, 0},
	} {
		var texts []string
		for port := range 2 {
			_, _, err := allDoors(tt.users)(&goner{said: tt.said, port: 50000 + port, reads: tt.reads})
			if !errors.Is(err, appconn.ErrMistake) {
				t.Errorf("%s: %v: want a mistake", tt.name, err)
				break
			}
			texts = append(texts, err.Error())
		}
		if len(texts) == 2 && texts[0] != texts[1] {
			t.Errorf("%s gives\n%s, then\n%s", tt.name, texts[0], texts[1])
		}
	}
}
