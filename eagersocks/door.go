package eagersocks

import (
	"fmt"
	"io"
	"net"

	"tunnels/internal/appconn"
)

// firstRead is enough for what an application says in one go before it is
// answered; what is longer is read on.
const firstRead = 512

// NewSocksListener takes applications from the connections of a: it is the front
// door. It speaks SOCKS5, of which CONNECT and UDP ASSOCIATE, SOCKS4 and SOCKS4a, of
// which CONNECT, and HTTP; other commands are refused with code 7 and with 0x5b. With
// Config.Users it wants a user and password: those of RFC 1929, a SOCKS4 user id of
// the form name:password, or HTTP's Basic. What an application sends before it is
// answered is kept: Request.Early or the connection's Read has it. Closing the
// Listener closes a.
func (c *Config) NewSocksListener(a Acceptor) Listener {
	return newListener(a, newDoor(c).read, c.greetingTimeout(), c)
}

// door reads what applications say first. It is static.
type door struct {
	socks socksServer
	users Authenticator // nil: nobody is asked
	web   *webFront
}

func newDoor(c *Config) *door {
	return &door{socks: newSocksServer(c.Users), users: c.Users, web: newWebFront(c)}
}

func (d *door) read(c net.Conn) (net.Conn, *Request, error) {
	buf := make([]byte, firstRead)
	n, err := io.ReadAtLeast(c, buf, 1)
	if err != nil {
		return nil, nil, fmt.Errorf("reading a greeting: %w", err)
	}
	switch first := buf[0]; {
	case first == version:
		if n, err = readMethods(c, buf, n); err != nil {
			return nil, nil, fmt.Errorf("reading a greeting: %w", err)
		}
		return d.socks.read(c, buf[:n])
	case first == version4:
		return readSocks4(c, buf[:n], d.users)
	case 'A' <= first && first <= 'Z', 'a' <= first && first <= 'z':
		return d.web.read(c, buf[:n])
	default:
		return nil, nil, appconn.UnknownGreeting(first)
	}
}

// readMethods reads on until buf, of which n bytes are filled, holds the first
// message of SOCKS5. Its parser takes ten times the memory, which is not for those
// who connect and say nothing.
func readMethods(c net.Conn, buf []byte, n int) (int, error) {
	for n < 2 || n < 2+int(buf[1]) { // 257 at most
		more, err := c.Read(buf[n:])
		if n += more; more == 0 && err != nil {
			return n, cutShort(err)
		}
	}
	return n, nil
}
