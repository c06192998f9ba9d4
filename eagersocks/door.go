package eagersocks

import (
	"fmt"
	"net"
	"slices"

	"tunnels/internal/door"
)

// NewSocksListener returns a front door: a Listener that accepts applications from a. It
// supports CONNECT and UDP ASSOCIATE in SOCKS5, and CONNECT in SOCKS4 and SOCKS4a; other
// commands are refused with code 7 or 0x5b. If Config.Users is set, it requires a user
// name and password, either as in RFC 1929 or as a SOCKS4 user id of the form
// name:password. Bytes that an application sends before it is answered are returned by
// Request.Early or the connection's Read. Closing the Listener closes a.
func (c *Config) NewSocksListener(a Acceptor) Listener {
	read := door.FirstByte[*Request](c.NewSocksDoor())
	return door.Listen(a, read, c.limits(c.GreetingTimeout))
}

// SocksDoor reads SOCKS5, SOCKS4 and SOCKS4a requests. It can be combined with doors for
// other protocols in one listener.
type SocksDoor struct {
	// Immutable after creation.
	socks5 socksServer
	users  Authenticator // nil if no password is required
}

// NewSocksDoor returns a door that requires a login if c.Users is set.
func (c *Config) NewSocksDoor() *SocksDoor {
	return &SocksDoor{socks5: newSocksServer(c.Users), users: c.Users}
}

// Takes reports whether first is a supported version of SOCKS.
func (d *SocksDoor) Takes(first byte) bool { return first == version || first == version4 }

// Read reads c's greeting and request. first holds the bytes already read, at least one.
func (d *SocksDoor) Read(c net.Conn, first []byte) (net.Conn, *Request, error) {
	if first[0] == version4 {
		return readSocks4(c, first, d.users)
	}
	first, err := readMethods(c, first)
	if err != nil {
		return nil, nil, fmt.Errorf("reading a greeting: %w", err)
	}
	return d.socks5.read(c, first)
}

// methodsMax is the maximum size of SOCKS5's first message.
const methodsMax = 2 + 255

// readMethods reads until b holds SOCKS5's first message. This avoids starting the
// parser, which needs ten times the memory, for applications that connect and send
// nothing.
func readMethods(c net.Conn, b []byte) ([]byte, error) {
	b = slices.Grow(b, max(0, methodsMax-len(b)))
	for len(b) < 2 || len(b) < 2+int(b[1]) {
		n, err := c.Read(b[len(b):cap(b)])
		if b = b[:len(b)+n]; n == 0 && err != nil {
			return nil, cutShort(err)
		}
	}
	return b, nil
}
