package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// Dialer connects to targets through a SOCKS5 proxy (RFC 1928), or directly.
type Dialer struct {
	Proxy     string // host:port, or empty for no proxy
	User      string // or empty for no authentication (RFC 1929)
	Password  string
	Pipelined bool // send greeting and request in one write; only without User

	// Connect makes the TCP connections; nil means a net.Dialer.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial connects to target, an address with a port. Like an ordinary client, it returns
// once the proxy has replied to the request.
func (d *Dialer) Dial(ctx context.Context, target string) (*net.TCPConn, error) {
	addr := d.Proxy
	if addr == "" {
		addr = target
	}
	connect := d.Connect
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	c, err := connect(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if d.Proxy == "" {
		return c.(*net.TCPConn), nil
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	err = d.request(c, target)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("proxy %s: %w", d.Proxy, err)
	}
	return c.(*net.TCPConn), nil
}

// request performs the SOCKS5 exchange on c, up to the proxy's reply.
func (d *Dialer) request(c io.ReadWriter, target string) error {
	to, err := netip.ParseAddrPort(target)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	kind := byte(1)
	if to.Addr().Is6() {
		kind = 4
	}
	request := append([]byte{5, 1, 0, kind}, to.Addr().AsSlice()...)
	request = binary.BigEndian.AppendUint16(request, to.Port())
	greeting := []byte{5, 1, 0}
	if d.User != "" {
		greeting[2] = 2
	}
	pipelined := d.Pipelined && d.User == ""
	if pipelined {
		greeting = append(greeting, request...)
	}
	if _, err := c.Write(greeting); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	var method [2]byte
	if _, err := io.ReadFull(c, method[:]); err != nil {
		return fmt.Errorf("reply to the greeting: %w", err)
	}
	if method[0] != 5 || method[1] != greeting[2] {
		return fmt.Errorf("reply to the greeting is %x, want 05%02x", method, greeting[2])
	}
	if err := d.authenticate(c); err != nil {
		return err
	}
	if !pipelined {
		if _, err := c.Write(request); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	return readReply(c)
}

func (d *Dialer) authenticate(c io.ReadWriter) error {
	if d.User == "" {
		return nil
	}
	if len(d.User) > 255 || len(d.Password) > 255 {
		return errors.New("user and password are limited to 255 bytes each")
	}
	b := append([]byte{1, byte(len(d.User))}, d.User...)
	b = append(append(b, byte(len(d.Password))), d.Password...)
	if _, err := c.Write(b); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	var status [2]byte
	if _, err := io.ReadFull(c, status[:]); err != nil {
		return fmt.Errorf("reading the authentication reply: %w", err)
	}
	if status[1] != 0 {
		return errors.New("user or password refused")
	}
	return nil
}

// readReply reads the reply to a request and not a byte more, because data follows.
func readReply(r io.Reader) error {
	var head [5]byte // includes the first byte of the address, the length if it is a name
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	if head[0] != 5 {
		return fmt.Errorf("reply begins with %#x, want 5", head[0])
	}
	if head[1] != 0 {
		return fmt.Errorf("refused with code %d", head[1])
	}
	var rest int
	switch head[3] {
	case 1:
		rest = 3 + 2
	case 3:
		rest = int(head[4]) + 2
	case 4:
		rest = 15 + 2
	default:
		return fmt.Errorf("reply has an address of type %d, want 1, 3 or 4", head[3])
	}
	if _, err := io.ReadFull(r, make([]byte, rest)); err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	return nil
}
