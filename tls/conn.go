package tls

import (
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/sockio"
)

// closeWait limits how long Close tries to send close_notify to a peer that is not
// reading.
const closeWait = 250 * time.Millisecond

// Conn is a conn that has completed its handshake. Its methods may be called
// concurrently.
type Conn struct {
	tls   *ctls.Conn
	low   *lower
	peer  []*x509.Certificate // in the order sent, leaf first; never empty
	proto string
	since time.Time // when the handshake completed

	// expires is when the peer's certificate expires.
	expires time.Time

	writing sync.Mutex // serializes Write; not acquired by Close or Abort

	// cause is why this end closed the conn, or nil if no reason was given. Read and
	// Write return it instead of the socket's error.
	cause atomic.Pointer[error]

	// readErr translates errors from Read; if nil, they are returned unchanged. Set
	// before use.
	readErr func(error) error
	// forget removes the conn from its Server when it is closed; nil on a client. Set
	// before use.
	forget func()
}

func newConn(tc *ctls.Conn, low *lower) *Conn {
	state := tc.ConnectionState()
	return &Conn{
		tls: tc, low: low,
		peer:    state.PeerCertificates,
		proto:   state.NegotiatedProtocol,
		since:   time.Now(),
		expires: validUntil(state.PeerCertificates[0], state.VerifiedChains),
	}
}

// validUntil returns when a certificate expires. A chain is valid only while all its
// certificates are; of several chains, the one that expires last counts.
func validUntil(leaf *x509.Certificate, chains [][]*x509.Certificate) time.Time {
	var latest time.Time
	for _, chain := range chains {
		end := leaf.NotAfter
		for _, cert := range chain {
			if cert.NotAfter.Before(end) {
				end = cert.NotAfter
			}
		}
		if end.After(latest) {
			latest = end
		}
	}
	return latest
}

// Read reads at most one record, up to 16 KiB. It returns io.EOF after a clean close,
// and io.ErrUnexpectedEOF if the conn ended without close_notify. On a client it
// returns a *CertificateError if the server refused the certificate.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.tls.Read(p)
	switch {
	case err == nil:
	case err == io.EOF && c.low.cut.Load():
		err = io.ErrUnexpectedEOF
	case err != io.EOF && c.readErr != nil:
		err = c.readErr(err)
	}
	return n, c.because(err)
}

// because returns the reason this end closed the conn, if there is one, and err
// otherwise.
func (c *Conn) because(err error) error {
	if err != nil {
		if cause := c.cause.Load(); cause != nil {
			return *cause
		}
	}
	return err
}

// ReadMore is like Read, but keeps reading while p has room for another record and data
// is available without waiting. It must not be called concurrently with itself or with
// Read.
func (c *Conn) ReadMore(p []byte) (int, error) {
	n, err := c.Read(p)
	if err != nil || c.low.rawConn() == nil {
		return n, err
	}
	c.low.noWait = true
	for err == nil && len(p)-n >= recordMax {
		var m int
		m, err = c.tls.Read(p[n:]) // crypto/tls returns any error but sockio.ErrNotNow again from the next Read
		n += m
	}
	c.low.noWait = false
	return n, nil
}

// Write sends p in records of up to 16 KiB, using one system call for up to 256 KiB. A
// Write that times out leaves the conn unusable for writing.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) <= recordMax {
		n, err := c.tls.Write(p)
		return n, c.because(err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.low.gather.Begin(len(p))
	n, err := c.tls.Write(p)
	if ferr := c.low.gather.Flush(c.low.Conn); err == nil && ferr != nil {
		return 0, c.because(ferr)
	}
	return n, c.because(err)
}

// CanWriteNow reports whether WriteNow works, that is, whether the underlying conn is a
// socket that supports non-blocking writes.
func (c *Conn) CanWriteNow() bool { return c.low.rawConn() != nil }

// WriteNow is like Write, but does not wait for the peer. It returns true if all of p
// was sent, false if Flush must be called before anything else is written. If
// CanWriteNow returns false, WriteNow sends nothing and returns errors.ErrUnsupported.
func (c *Conn) WriteNow(p []byte) (bool, error) {
	raw := c.low.rawConn()
	if raw == nil {
		return false, errors.ErrUnsupported
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.low.gather.Begin(len(p))
	if _, err := c.tls.Write(p); err != nil {
		_ = c.low.gather.Flush(c.low.Conn) // the conn is over; err says why
		return false, c.because(err)
	}
	sent, err := c.low.gather.Try(raw)
	return sent, c.because(err)
}

// Flush sends the bytes that WriteNow could not, blocking like Write.
func (c *Conn) Flush() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.because(c.low.gather.Flush(c.low.Conn))
}

// recordMax is the maximum payload of a record. A Write of up to this size needs no
// gathering.
const recordMax = 16 << 10

// CloseWrite closes this direction; the peer reads io.EOF after all data. Where
// crypto/tls gives up on a slow peer after 5 s, CloseWrite waits as long as Write
// would: until the write deadline, Close or Abort.
func (c *Conn) CloseWrite() error { return c.because(c.tls.CloseWrite()) }

// Close closes the conn, first trying for up to a quarter of a second to send
// close_notify so that the peer sees a clean end. A blocked Write returns immediately.
func (c *Conn) Close() error {
	c.low.beginClose()
	c.over()
	return c.tls.Close()
}

// Abort closes the conn immediately, even while a Write is blocked. The peer sees an
// error (on TCP a reset), never a clean end; data in flight is lost.
func (c *Conn) Abort() error {
	c.over()
	return c.low.abort()
}

// dismiss calls Abort with a reason, which Read and Write return from then on.
func (c *Conn) dismiss(reason error) {
	c.cause.CompareAndSwap(nil, &reason)
	_ = c.Abort() // fails only if the conn is already closed
}

// Barred returns an error if the peer may no longer start anything new on this conn
// because its certificate has expired since the handshake, and nil otherwise. It uses the
// wall clock at the time of the call. The conn itself stays open.
func (c *Conn) Barred() error {
	if c.expires.IsZero() || !time.Now().After(c.expires) {
		return nil
	}
	return &CertificateError{Reason: fmt.Sprintf("the certificate of %s expired on %s", certtext.Label(c.peer[0]), certtext.Day(c.expires)), Err: errExpired}
}

// SetLinger sets how the underlying socket is closed, like (*net.TCPConn).SetLinger.
// With 0, the kernel resets the connection if the process is killed, so even a peer
// that is not reading notices.
func (c *Conn) SetLinger(sec int) error { return c.low.setLinger(sec) }

func (c *Conn) over() {
	if c.forget != nil {
		c.forget()
	}
}

// NetConn returns the underlying conn, for setting its socket options. Reading from it
// or writing to it breaks this conn.
func (c *Conn) NetConn() net.Conn { return c.low.Conn }

// PeerName returns the name in the peer's certificate: its first DNS name or, if it has
// none (as in client certificates), its common name.
func (c *Conn) PeerName() string { return certtext.Name(c.peer[0]) }

// PeerSerial returns the serial number of the peer's certificate in hex, as printed by
// `tunnels certs list` and accepted by `tunnels certs revoke`.
func (c *Conn) PeerSerial() string { return certtext.Serial(c.peer[0].SerialNumber) }

// NegotiatedProtocol returns the ALPN protocol, or "" if the peer offered none.
func (c *Conn) NegotiatedProtocol() string { return c.proto }

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.low.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.low.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline makes Read fail from t on. A later deadline makes it work again.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.low.SetReadDeadline(t) }

// SetWriteDeadline makes Write fail from t on. A Write that times out leaves the conn
// unusable for writing.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.low.setWriteDeadline(t) }

// lower is the conn beneath TLS. It overrides two decisions made by crypto/tls: whether
// the conn ended cleanly, and the write deadline for close_notify. crypto/tls always
// allows 5 s, which is too long for Close and too short for CloseWrite.
type lower struct {
	net.Conn
	gather  sockio.Gather
	rawOnce sync.Once
	raw     syscall.RawConn // see rawConn; written in rawOnce

	// Owned by the reader:
	noWait  bool // Read fails with sockio.ErrNotNow instead of waiting
	drained bool // the last Read emptied the socket

	// On a server, owned by the handshake:
	serverName string    // the name the client dialed
	judgedBy   *snapshot // the snapshot that verified the client's certificate

	// heard is set once data has been received from the peer.
	heard atomic.Bool

	// cut is set if the conn ends without close_notify. crypto/tls would report a clean
	// end when that happens between two records.
	cut atomic.Bool

	mu    sync.Mutex // guards until; held while setting a write deadline
	until time.Time  // when Close gives up; zero before Close
}

// Read is called only by crypto/tls, which does not read past close_notify.
func (l *lower) Read(p []byte) (n int, err error) {
	switch {
	case !l.noWait:
		n, err = l.Conn.Read(p)
	case l.drained:
		return 0, sockio.ErrNotNow
	default:
		n, err = sockio.TryRead(l.raw, p)
		if err != nil && err != io.EOF && err != sockio.ErrNotNow {
			err = &net.OpError{Op: "read", Net: l.LocalAddr().Network(), Source: l.LocalAddr(), Addr: l.RemoteAddr(), Err: err}
		}
	}
	l.drained = n < len(p)
	if n > 0 && !l.heard.Load() {
		l.heard.Store(true)
	}
	if n == 0 && err == io.EOF {
		l.cut.Store(true)
	}
	return n, err
}

// rawConn returns the underlying socket, or nil if it does not support non-blocking
// I/O.
func (l *lower) rawConn() syscall.RawConn {
	l.rawOnce.Do(func() {
		if sc, ok := l.Conn.(syscall.Conn); ok && sockio.CanTry {
			l.raw, _ = sc.SyscallConn()
		}
	})
	return l.raw
}

// Write is called only by crypto/tls, with one or a few records.
func (l *lower) Write(p []byte) (int, error) { return l.gather.Write(l.Conn, p) }

// SetWriteDeadline is called only by crypto/tls, when it sends close_notify: before
// with a future time, and afterwards with the current time.
func (l *lower) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.until.IsZero() && t.After(time.Now()):
		return nil // CloseWrite: keep the user's deadline
	case !l.until.IsZero() && t.After(l.until):
		t = l.until
	}
	return l.Conn.SetWriteDeadline(t)
}

// setWriteDeadline sets the user's deadline, which cannot extend a Close.
func (l *lower) setWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.until.IsZero() {
		return net.ErrClosed
	}
	return l.Conn.SetWriteDeadline(t)
}

// beginClose sets the final deadline for data still being sent. It also unblocks a
// waiting CloseWrite, which Close would otherwise wait for.
func (l *lower) beginClose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.IsZero() {
		l.until = time.Now().Add(closeWait)
		_ = l.Conn.SetWriteDeadline(l.until) // fails only on a closed conn
	}
}

// abort closes the socket so that the peer sees a reset.
func (l *lower) abort() error {
	_ = l.setLinger(0) // fails only on a closed conn, or on networks without resets
	return l.Conn.Close()
}

func (l *lower) setLinger(sec int) error {
	for conn := l.Conn; ; {
		if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
			return tcp.SetLinger(sec)
		}
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return errors.ErrUnsupported
		}
		conn = inner.NetConn()
	}
}
