package eagersocks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/hostname"
)

// SOCKS4 has no RFC. A request is
//
//	0x04 | CD | PORT | IPv4 address | user id | 0x00 [ | name | 0x00 ]
//
// The name is present, as in 4a, if the address is 0.0.0.x with x not 0. A reply is 0x00
// | code | six ignored bytes.
const (
	version4 = 4
	head4    = 8   // everything before the user id
	userMax4 = 512 // name, colon and password, each as long as in SOCKS5
	most4    = head4 + userMax4 + 1 + hostname.Max + 1

	granted4   = 0x5a
	rejected4  = 0x5b
	wrongUser4 = 0x5d
)

// socks4Dialect encodes SOCKS4 replies, which use one code for all failures.
type socks4Dialect struct{}

// Accepted implements appconn.Dialect.
func (socks4Dialect) Accepted(netip.AddrPort) []byte { return reply4(granted4) }

// Refused implements appconn.Dialect.
func (socks4Dialect) Refused(code.Code, string) []byte { return reply4(rejected4) }

func reply4(c byte) []byte { return []byte{0, c, 0, 0, 0, 0, 0, 0} }

// request4 is a parsed SOCKS4 request.
type request4 struct {
	command byte
	port    uint16
	addr    netip.Addr
	user    string
	name    string // name from a 4a request, else empty
	named   bool   // the target is name, even if empty, not addr
}

// errShort is returned for an incomplete request.
var errShort = errors.New("request is not complete")

// parseSocks4 parses the request at the start of b and returns its size.
func parseSocks4(b []byte) (r request4, size int, err error) {
	if len(b) < head4 {
		return r, 0, errShort
	}
	r = request4{command: b[1], port: binary.BigEndian.Uint16(b[2:]), addr: netip.AddrFrom4([4]byte(b[4:head4]))}
	size = head4
	field := func(what string, longest int) (string, error) {
		n := bytes.IndexByte(b[size:min(len(b), size+longest+1)], 0)
		switch {
		case n >= 0:
			size += n + 1
			return string(b[size-n-1 : size-1]), nil
		case len(b)-size > longest:
			return "", malformed("%s has more than %d bytes", what, longest)
		}
		return "", errShort
	}
	if r.user, err = field("user id", userMax4); err != nil {
		return r, 0, err
	}
	if ip := r.addr.As4(); ip[0] == 0 && ip[1] == 0 && ip[2] == 0 && ip[3] != 0 {
		r.named = true
		if r.name, err = field("host name", hostname.Max); err != nil {
			return r, 0, err
		}
	}
	return r, size, nil
}

// readSocks4 reads a request. first holds the bytes already read.
func readSocks4(c net.Conn, first []byte, users Authenticator) (net.Conn, *Request, error) {
	b := first
	r, size, err := parseSocks4(b)
	if errors.Is(err, errShort) {
		b = append(make([]byte, 0, most4), first...)
	}
	for errors.Is(err, errShort) {
		n, rerr := c.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if n == 0 && rerr != nil {
			return nil, nil, fmt.Errorf("reading a SOCKS4 request: %w", rerr)
		}
		r, size, err = parseSocks4(b)
	}
	status := byte(rejected4)
	var target Address
	if err == nil {
		status, err = r.allowed(c.RemoteAddr(), users)
	}
	if err == nil {
		target, err = r.target()
	}
	if err != nil {
		if _, werr := c.Write(reply4(status)); werr == nil {
			appconn.HangUp(c)
		}
		return nil, nil, fmt.Errorf("SOCKS4 request: %w", err)
	}
	app := appconn.New(c, bytes.Clone(b[size:]))
	return app, NewRequest(Connect, target, appconn.NewAnswer(app, socks4Dialect{})), nil
}

// allowed checks the user name and password in the user id. If it returns an error, it
// also returns the code to reply with.
func (r *request4) allowed(remote net.Addr, users Authenticator) (byte, error) {
	if users == nil {
		return rejected4, nil
	}
	name, password, ok := strings.Cut(r.user, ":")
	if !ok {
		return wrongUser4, appconn.Mistake(errors.New("user id is not of the form name:password"))
	}
	err := users.Check(remote, name, password)
	if c, _ := code.Of(err); c == code.NotAuthorised {
		return wrongUser4, err
	}
	return rejected4, err
}

func (r *request4) target() (Address, error) {
	if r.command != byte(Connect) {
		return Address{}, appconn.Mistake(&code.Error{Code: code.CommandUnsupported, Text: fmt.Sprintf("command %d is not supported", r.command)})
	}
	if r.named {
		return NewAddress(r.name, r.port)
	}
	return NewAddress(r.addr.String(), r.port)
}
