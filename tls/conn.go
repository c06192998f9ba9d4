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
)

// closeWait is how long Close may take to send its close_notify to a peer that
// does not read.
const closeWait = 250 * time.Millisecond

// Conn is one conn whose handshake is done. Its methods may be called from
// several goroutines at once.
type Conn struct {
	tls   *ctls.Conn
	low   *lower
	peer  []*x509.Certificate // as the peer showed them, its own first; never empty
	proto string
	since time.Time // when the handshake was done

	// expires is from when on the peer's certificate is valid no more.
	expires time.Time

	writing sync.Mutex // one Write gathers at a time; Close and Abort do not take it

	// cause is why this end has ended the conn, nil if there is nothing to say.
	// Read and Write return it instead of the socket's error.
	cause atomic.Pointer[error]

	// readErr puts an error of Read into words; nil: as it is. Set before use.
	readErr func(error) error
	// forget tells the Server that the conn is over; nil on a client. Set before use.
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

// validUntil is until when a certificate is valid: with one of the chains, each
// only for as long as all of it is.
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

// Read reads at most one record, up to 16 KiB. A clean end is io.EOF; a conn that
// ends without close_notify is io.ErrUnexpectedEOF. On a client, a certificate
// that the server refused is a *CertificateError.
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

// because is why an operation failed: the reason for which this end has ended
// the conn, if there is one, else err.
func (c *Conn) because(err error) error {
	if err != nil {
		if cause := c.cause.Load(); cause != nil {
			return *cause
		}
	}
	return err
}

// ReadMore is Read that goes on for as long as p has room for a record and there
// are bytes to be had without waiting. Not to be called by two goroutines at once,
// nor beside Read.
func (c *Conn) ReadMore(p []byte) (int, error) {
	n, err := c.Read(p)
	if err != nil || c.low.rawConn() == nil {
		return n, err
	}
	c.low.noWait = true
	for err == nil && len(p)-n >= recordMax {
		var m int
		m, err = c.tls.Read(p[n:]) // crypto/tls keeps what is more than errNotNow for the next Read
		n += m
	}
	c.low.noWait = false
	return n, nil
}

// Write sends p in records of up to 16 KiB, those of up to 256 KiB with one system
// call. After a Write that ran into its deadline the conn cannot be written to
// any more.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) <= recordMax {
		n, err := c.tls.Write(p)
		return n, c.because(err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.low.gather.begin(len(p))
	n, err := c.tls.Write(p)
	if ferr := c.low.gather.flush(c.low.Conn); err == nil && ferr != nil {
		return 0, c.because(ferr)
	}
	return n, c.because(err)
}

// CanWriteNow says whether WriteNow works: the conn beneath is a socket, and the
// system can write to it without waiting.
func (c *Conn) CanWriteNow() bool { return c.low.rawConn() != nil }

// WriteNow is Write that does not wait for the peer: true says that all of p is
// sent, false that Flush has to be called before anything else is written. The
// error is errors.ErrUnsupported, with nothing sent, without CanWriteNow.
func (c *Conn) WriteNow(p []byte) (bool, error) {
	raw := c.low.rawConn()
	if raw == nil {
		return false, errors.ErrUnsupported
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.low.gather.begin(len(p))
	if _, err := c.tls.Write(p); err != nil {
		_ = c.low.gather.flush(c.low.Conn) // for the error's sake the conn is over
		return false, c.because(err)
	}
	sent, err := c.low.gather.try(raw)
	return sent, c.because(err)
}

// Flush sends what WriteNow could not, and waits for it as Write does.
func (c *Conn) Flush() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.because(c.low.gather.flush(c.low.Conn))
}

// recordMax is what fits into one record: there is nothing to gather.
const recordMax = 16 << 10

// CloseWrite ends this direction; the peer reads io.EOF after all data. Unlike
// that of crypto/tls, which gives up after 5 s, it waits for a peer that does not
// read as long as a Write would: until the write deadline, Close or Abort.
func (c *Conn) CloseWrite() error { return c.because(c.tls.CloseWrite()) }

// Close ends the conn and tells the peer that the end is a clean one, if that
// can be sent within a quarter of a second. A blocked Write ends at once.
func (c *Conn) Close() error {
	c.low.beginClose()
	c.over()
	return c.tls.Close()
}

// Abort ends the conn at once, also with a Write blocked. The peer sees an error
// (on TCP a reset), never a clean end; data on its way is lost.
func (c *Conn) Abort() error {
	c.over()
	return c.low.abort()
}

// dismiss is Abort with a reason, which Read and Write return from now on.
func (c *Conn) dismiss(reason error) {
	c.cause.CompareAndSwap(nil, &reason)
	_ = c.Abort() // its only error is that it was closed before
}

// Barred returns why the peer may begin nothing new on this conn, or nil if it
// may: its certificate has expired since the handshake. The wall clock decides,
// at the moment of the call. The conn itself goes on.
func (c *Conn) Barred() error {
	if c.expires.IsZero() || !time.Now().After(c.expires) {
		return nil
	}
	return &CertificateError{Reason: fmt.Sprintf("the certificate of %s expired on %s", label(c.peer[0]), day(c.expires)), Err: errExpired}
}

// SetLinger sets what the end of the socket beneath does, as (*net.TCPConn).SetLinger
// says. With 0 the system resets it if the process is killed, so that a peer which
// does not read at the moment notices.
func (c *Conn) SetLinger(sec int) error { return c.low.setLinger(sec) }

func (c *Conn) over() {
	if c.forget != nil {
		c.forget()
	}
}

// NetConn is the conn under TLS, for setting its socket options. What is read
// from or written to it breaks this one.
func (c *Conn) NetConn() net.Conn { return c.low.Conn }

// PeerName is who the peer's certificate says it is: its first DNS name or, as
// clients have none, its common name.
func (c *Conn) PeerName() string { return peerName(c.peer[0]) }

// PeerSerial is the serial number of the peer's certificate in hex, as `tunnels
// certs list` writes it and `tunnels certs revoke` takes it.
func (c *Conn) PeerSerial() string { return serialText(c.peer[0].SerialNumber) }

// NegotiatedProtocol is ALPN, or empty if the peer offered no protocol.
func (c *Conn) NegotiatedProtocol() string { return c.proto }

// LocalAddr is the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.low.LocalAddr() }

// RemoteAddr is the address of the peer.
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

// SetWriteDeadline makes Write fail from t on. A Write that it cut short has
// broken the conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.low.setWriteDeadline(t) }

// lower is the conn under TLS. It takes two things out of the hands of crypto/tls.
// One is what a conn's end means. The other are the write deadlines: close_notify
// has 5 s whatever it is sent for, too long for Close and too short for CloseWrite.
type lower struct {
	net.Conn
	gather  gather
	rawOnce sync.Once
	raw     syscall.RawConn // see rawConn; written in rawOnce

	// Owned by who reads:
	noWait  bool // Read fails with errNotNow instead of waiting
	drained bool // the last Read took all there was

	// Of a server's conn, owned by its handshake:
	serverName string    // the name the client dialed
	heard      bool      // the client has said something
	judgedBy   *snapshot // what the client's certificate was verified with

	// cut tells that the conn ended without close_notify: crypto/tls takes such
	// an end for a clean one if it falls between two records.
	cut atomic.Bool

	mu    sync.Mutex // guards until; held while a write deadline is set
	until time.Time  // when Close gives up; zero: no Close yet
}

// Read is called by crypto/tls alone, which does not read on after close_notify.
func (l *lower) Read(p []byte) (n int, err error) {
	switch {
	case !l.noWait:
		n, err = l.Conn.Read(p)
	case l.drained:
		return 0, errNotNow
	default:
		n, err = tryRead(l.raw, p)
		if err != nil && err != io.EOF && err != errNotNow {
			err = &net.OpError{Op: "read", Net: l.LocalAddr().Network(), Source: l.LocalAddr(), Addr: l.RemoteAddr(), Err: err}
		}
	}
	l.drained = n < len(p)
	if n > 0 && !l.heard {
		l.heard = true
	}
	if n == 0 && err == io.EOF {
		l.cut.Store(true)
	}
	return n, err
}

// rawConn is the socket beneath, nil if there is none that can be tried.
func (l *lower) rawConn() syscall.RawConn {
	l.rawOnce.Do(func() {
		if sc, ok := l.Conn.(syscall.Conn); ok && canTry {
			l.raw, _ = sc.SyscallConn()
		}
	})
	return l.raw
}

// Write is called by crypto/tls alone, with one record or a few.
func (l *lower) Write(p []byte) (int, error) { return l.gather.write(l.Conn, p) }

// SetWriteDeadline is called by crypto/tls alone, around its close_notify: with
// a time to come before it and with the present after it.
func (l *lower) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.until.IsZero() && t.After(time.Now()):
		return nil // CloseWrite: the user's deadline stays
	case !l.until.IsZero() && t.After(l.until):
		t = l.until
	}
	return l.Conn.SetWriteDeadline(t)
}

// setWriteDeadline is the user's, who cannot prolong a Close.
func (l *lower) setWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.until.IsZero() {
		return net.ErrClosed
	}
	return l.Conn.SetWriteDeadline(t)
}

// beginClose gives whatever is still being sent its last deadline. This also
// frees a CloseWrite that waits, for which Close would have to wait.
func (l *lower) beginClose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.IsZero() {
		l.until = time.Now().Add(closeWait)
		_ = l.Conn.SetWriteDeadline(l.until) // fails on a closed conn only
	}
}

// abort closes the socket in such a way that its peer is reset.
func (l *lower) abort() error {
	_ = l.setLinger(0) // fails on a closed conn only, or where there are no resets
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

// errNotNow says that nothing is there to be read. As it is temporary, crypto/tls
// keeps the part of a record that it may have got and goes on with the next Read.
var errNotNow net.Error = notNow{}

type notNow struct{}

func (notNow) Error() string   { return "nothing to be read now" }
func (notNow) Timeout() bool   { return false }
func (notNow) Temporary() bool { return true }
