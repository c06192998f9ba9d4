package eagersocks

import (
	"fmt"
	"net"
	"slices"

	"tunnels/internal/door"
)

// NewSocksListener returns a front door: a Listener that accepts applications from a.
// It supports CONNECT and UDP ASSOCIATE of SOCKS5, and CONNECT of SOCKS4 and SOCKS4a;
// other commands are refused with code 7 or 0x5b. With Config.Users it requires a user
// and password: as in RFC 1929, or a SOCKS4 user id of the form name:password. Bytes
// that an application sends before it is answered are kept: Request.Early or the
// connection's Read returns them. Closing the Listener closes a.
func (c *Config) NewSocksListener(a Acceptor) Listener {
	read := door.FirstByte[*Request](c.NewSocksDoor())
	return door.Listen(a, read, c.limits(c.GreetingTimeout))
}

// SocksDoor reads SOCKS5, SOCKS4 and SOCKS4a requests. It is one of the doors of a
// listener that supports other protocols as well.
type SocksDoor struct {
	// Immutable after creation.
	socks5 socksServer
	users  Authenticator // nil if no password is required
}

// NewSocksDoor returns a door that requires the passwords of c.Users.
func (c *Config) NewSocksDoor() *SocksDoor {
	return &SocksDoor{socks5: newSocksServer(c.Users), users: c.Users}
}

// Takes reports whether first is a supported version of SOCKS.
func (d *SocksDoor) Takes(first byte) bool { return first == version || first == version4 }

// Read reads c's greeting and request, of which first, at least one byte, has already
// been read.
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

// readMethods reads until b holds SOCKS5's first message. The parser, which takes ten
// times the memory, is not started for applications that connect and send nothing.
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
