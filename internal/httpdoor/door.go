package httpdoor

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/appconn"
	"tunnels/internal/socksaddr"
)

// Config configures a Door. The zero Config works; every field documents its default.
type Config struct {
	// Users authenticates users of the proxy. If nil, no password is required. The
	// port's own pages never require one.
	Users appconn.Authenticator
	// PACDirect and PACProxy configure the PAC file: they list hosts that bypass the
	// tunnel and hosts that use it. If PACProxy is empty, every host uses the tunnel
	// except this machine and those in PACDirect; otherwise only the hosts in PACProxy
	// do.
	PACDirect, PACProxy PACList
	// HeadTimeout limits the time from the first byte of a request's head to the last;
	// 0 means 10 s.
	HeadTimeout time.Duration
	// UnauthenticatedMax limits the number of connections that were handed over but
	// have not sent the password that Users requires. If there are more, the oldest is
	// closed. 0 means 4096.
	UnauthenticatedMax int
	// Rejected is called for each wrong password, and for each connection dropped to
	// make room for newer ones. It may be called from several goroutines at once. It
	// may be nil.
	Rejected func(remote string, err error)
}

// Door reads HTTP requests. It is immutable except for the unauthenticated connections
// and the buffer pool, which do their own locking.
type Door struct {
	users           appconn.Authenticator // nil if no password is required
	pac             pacRules
	headTimeout     time.Duration
	rejected        func(remote string, err error) // may be nil
	unauthenticated unauthenticated
	buffers         sync.Pool // *[bufferMax]byte elements
}

// New returns a door for a listener whose doors all produce eagersocks requests.
func New(c Config) *Door {
	return &Door{
		users:           c.Users,
		pac:             pacRules{direct: c.PACDirect, proxy: c.PACProxy},
		headTimeout:     cmp.Or(c.HeadTimeout, appconn.GreetingTimeout),
		rejected:        c.Rejected,
		unauthenticated: unauthenticated{max: max(1, cmp.Or(c.UnauthenticatedMax, appconn.PendingMax))},
		buffers:         sync.Pool{New: func() any { return new([bufferMax]byte) }},
	}
}

// Takes reports whether first may be the first byte of an HTTP request.
func (f *Door) Takes(first byte) bool {
	return 'A' <= first && first <= 'Z' || 'a' <= first && first <= 'z'
}

// Read reads the first request on c. first holds the bytes that have already been read
// from c. A CONNECT is handed over like a SOCKS request. For any other request, the
// connection is handed over as a *Conn, to be served as a whole by Conn.Serve; its
// Request has no command and no target, and Refuse responds to the first request with a
// page.
func (f *Door) Read(c net.Conn, first []byte) (net.Conn, *eagersocks.Request, error) {
	w := &Conn{Conn: appconn.New(c, nil), front: f, in: newWire(c, first), known: f.users == nil}
	r, err := readRequest(w.in)
	if err != nil {
		if e, ok := errors.AsType[*requestError](err); ok {
			return nil, nil, appconn.TurnAway(c, string(refusedPage(e).appendTo(nil)), "HTTP request refused: "+e.text)
		}
		return nil, nil, fmt.Errorf("reading an HTTP request: %w", err)
	}
	if r.method == http.MethodConnect && w.authorised(r) == nil {
		w.SetEarly(w.in.take())
		return w.Conn, eagersocks.NewRequest(eagersocks.Connect, r.target, appconn.NewAnswer(w.Conn, dialect{r.target})), nil
	}
	w.first, w.answer = r, appconn.NewAnswer(w.Conn, dialect{})
	return w, eagersocks.NewRequest(0, socksaddr.Address{}, w.answer), nil
}
