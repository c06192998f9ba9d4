package eagersocks

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/things-go/go-socks5"
	"github.com/things-go/go-socks5/statute"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/socksaddr"
)

// socksServer parses SOCKS5 greetings with go-socks5, one connection at a time. It uses
// only the library's parser, which does not accept, resolve, dial or log.
type socksServer struct {
	*socks5.Server
	needsLogin bool // requires a user name and password
}

// newSocksServer returns a server that requires a login if users is not nil.
func newSocksServer(users Authenticator) socksServer {
	var auth socks5.Authenticator = socks5.NoAuthAuthenticator{}
	if users != nil {
		auth = userPass{users}
	}
	return socksServer{needsLogin: users != nil, Server: socks5.NewServer(
		socks5.WithAuthMethods([]socks5.Authenticator{auth}),
		socks5.WithResolver(noResolver{}),
		socks5.WithLogger(noLogger{}),
		socks5.WithConnectHandle(handle),
		socks5.WithBindHandle(handle),
		socks5.WithAssociateHandle(handle),
	)}
}

// read handles c's greeting. first holds the bytes already read.
func (s socksServer) read(c net.Conn, first []byte) (net.Conn, *Request, error) {
	g := &greeting{Conn: c, first: first}
	err := s.ServeConn(g)
	if g.req != nil {
		return g.app, g.req, nil
	}
	if g.readErr != nil { // the parser's error does not preserve the type
		return nil, nil, fmt.Errorf("reading a greeting: %w", g.readErr)
	}
	appconn.HangUp(c) // the application may have been sent the reason
	switch {
	case g.refused != nil:
		return nil, nil, g.refused
	case err == nil:
		return nil, nil, errors.New("greeting without a request")
	case errors.Is(err, statute.ErrNoSupportedAuth):
		return nil, nil, appconn.Mistake(s.unwanted())
	case strings.HasPrefix(err.Error(), "unrecognized command"): // the parser has no error type for it
		return nil, nil, appconn.Mistake(fmt.Errorf("reading a greeting: %w", err))
	default:
		return nil, nil, fmt.Errorf("reading a greeting: %w", err)
	}
}

// unwanted returns the error for an application that offers no acceptable method.
func (s socksServer) unwanted() error {
	if s.needsLogin {
		return errors.New("SOCKS5 greeting does not offer username/password authentication, which this proxy requires")
	}
	return errors.New("SOCKS5 greeting does not offer \"no authentication\", the only method this proxy accepts")
}

// greeting wraps an application's connection for the parser. The parser closes it at the
// end, which must not close the application's connection, because the listener owns
// that. A greeting is owned by the goroutine that serves the connection.
type greeting struct {
	net.Conn
	first   []byte       // already read from the connection, to be read again
	readErr error        // last read error
	login   func() error // checks the user and password again; nil if none is required

	app     *appconn.Conn // result: the connection to hand over
	req     *Request      // result: nil if there is none
	refused error         // result: why there is no request
}

// Read implements net.Conn.
func (g *greeting) Read(p []byte) (int, error) {
	if len(g.first) > 0 {
		n := copy(p, g.first)
		g.first = g.first[n:]
		return n, nil
	}
	n, err := g.Conn.Read(p)
	if err != nil {
		g.readErr = err
	}
	return n, err
}

// Close does nothing.
func (g *greeting) Close() error { return nil }

// handle is called with a complete request. w is its *greeting.
func handle(_ context.Context, w io.Writer, r *socks5.Request) error {
	g := w.(*greeting)
	var (
		command Command
		target  Address
		err     error
	)
	switch r.Command {
	case statute.CommandConnect:
		command = Connect
		target, err = targetOf(r.RawDestAddr)
	case statute.CommandAssociate:
		command, target = UDP, sourceOf(r.RawDestAddr)
	default:
		return g.refuse(code.CommandUnsupported, appconn.Mistake(fmt.Errorf("SOCKS5 command %d is not supported", r.Command)))
	}
	if err != nil {
		return g.refuse(code.AddressUnsupported, err)
	}
	if g.login != nil { // the user may have been removed since the login
		if err := g.login(); err != nil {
			return g.refuse(code.NotAllowed, err)
		}
	}
	buffered, ok := r.Reader.(*bufio.Reader)
	if !ok {
		return g.refuse(code.General, fmt.Errorf("BUG: SOCKS5 parser reads from a %T", r.Reader))
	}
	// Copy the bytes, so that the parser's buffer can be freed.
	ahead, _ := buffered.Peek(buffered.Buffered()) // cannot fail, because that many bytes are buffered
	early := append(bytes.Clone(ahead), g.first...)
	g.app = appconn.New(g.Conn, early)
	g.req = NewRequest(command, target, appconn.NewAnswer(g.app, socks5Dialect{}))
	return nil
}

func (g *greeting) refuse(c code.Code, why error) error {
	g.refused = why
	_, err := g.Write(AppendReply(nil, c))
	return err
}

// targetOf validates the parser's address and returns it as an Address.
func targetOf(a *statute.AddrSpec) (Address, error) {
	host := a.FQDN
	if a.AddrType != statute.ATYPDomain {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			return Address{}, &code.Error{Code: code.AddressUnsupported, Text: "IP address is empty"}
		}
		if a.AddrType == statute.ATYPIPv4 {
			ip = ip.Unmap() // the parser stores all addresses in 16 bytes
		}
		host = ip.String()
	}
	return NewAddress(host, uint16(a.Port))
}

// sourceOf returns the address that the application says it will send datagrams from. If
// the application gives none or an invalid one, as many do, it returns 0.0.0.0.
func sourceOf(a *statute.AddrSpec) Address {
	port := uint16(a.Port)
	if ip, ok := netip.AddrFromSlice(a.IP); ok && a.AddrType != statute.ATYPDomain {
		return Address{Host: ip.Unmap().String(), Port: port}
	}
	if s, err := socksaddr.NewAnyPort(a.FQDN, port); err == nil {
		return s
	}
	if a.FQDN != "" { // invalid, so its port is meaningless too
		port = 0
	}
	return Address{Host: netip.IPv4Unspecified().String(), Port: port}
}

// noResolver leaves names unresolved, because the exit resolves them.
type noResolver struct{}

// Resolve implements socks5.NameResolver.
func (noResolver) Resolve(ctx context.Context, _ string) (context.Context, net.IP, error) {
	return ctx, nil, nil
}

type noLogger struct{}

// Errorf implements socks5.Logger.
func (noLogger) Errorf(string, ...any) {}
