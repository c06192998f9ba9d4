package eagersocks

import (
	"fmt"
	"io"
	"net"
)

// firstRead is enough for what an application says in one go before it is
// answered; what is longer is read on.
const firstRead = 512

// NewSocksListener takes applications from the connections of a: it is the front
// door. It speaks SOCKS5 without authentication, of which CONNECT and UDP ASSOCIATE;
// other commands are refused with code 7, SOCKS4 with its code 0x5b, and HTTP with a
// page that says what this port is. What an application sends before it is
// answered is kept: Request.Early or the connection's Read has it. Closing the
// Listener closes a.
func (c *Config) NewSocksListener(a Acceptor) Listener {
	d := &door{socks: newSocksServer(), web: newWebFront(c)}
	return newListener(a, d.read, c.greetingTimeout(), c)
}

// door reads what applications say first. It is static.
type door struct {
	socks socksServer
	web   *webFront
}

func (d *door) read(c net.Conn) (net.Conn, *Request, error) {
	buf := make([]byte, firstRead)
	n, err := io.ReadAtLeast(c, buf, 1)
	if err != nil {
		return nil, nil, fmt.Errorf("reading a greeting: %w", err)
	}
	switch first := buf[0]; {
	case first == version:
		return d.socks.read(c, buf[:n])
	case first == 4:
		return nil, nil, turnAway(c, socks4Rejected, "SOCKS4 is not spoken here")
	case 'A' <= first && first <= 'Z', 'a' <= first && first <= 'z':
		return d.web.read(c, buf[:n])
	default:
		return nil, nil, fmt.Errorf("greeting begins with 0x%02x, want 0x05", first)
	}
}

// turnAway tells the application no and returns what to report.
func turnAway(c net.Conn, said, report string) error {
	if _, err := io.WriteString(c, said); err != nil {
		return fmt.Errorf("%s; writing that: %w", report, err)
	}
	hangUp(c)
	return fmt.Errorf("%s", report)
}

// socks4Rejected is the reply "request rejected or failed" of SOCKS4.
const socks4Rejected = "\x00\x5b\x00\x00\x00\x00\x00\x00"
