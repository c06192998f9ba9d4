package entry

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/events"
	"tunnels/internal/splice"
)

// udpRefusalMax is how long a refused association is remembered.
const udpRefusalMax = 30 * time.Second

// udpRefusal remembers when the exit last refused an association. That application got
// an eager answer and then only a reset; the next one should get the code.
type udpRefusal struct{ at atomic.Pointer[time.Time] }

func (r *udpRefusal) note() {
	now := time.Now()
	r.at.Store(&now)
}

func (r *udpRefusal) recent() bool {
	at := r.at.Load()
	return at != nil && time.Since(*at) < udpRefusalMax
}

// associate opens the client's end of an association. It returns a function that carries
// the datagrams, or nil if there are none to carry. It answers the application as soon
// as the request has been sent to a server, so that the first datagram takes only one
// round trip.
func (e *Entry) associate(app net.Conn, req *eagersocks.Request) (carry func()) {
	// A host name is most likely the target's and does not indicate which port the
	// application sends from.
	hint := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if ip, ok := req.Target.IP(); ok {
		hint = netip.AddrPortFrom(ip, req.Target.Port)
	}
	a, err := datagram.Listen(app.LocalAddr(), app.RemoteAddr(), hint)
	if err != nil {
		r := e.accept("udp:" + req.Target.String())
		e.start(r)
		_ = req.Refuse(code.General, err.Error())
		e.events.RequestClosed(r, events.End{Err: err})
		return nil
	}
	r := e.accept("udp:" + a.Addr().String())
	r.CountWith(func() (up, down uint64) { n := a.Counts(); return n.Up, n.Down })
	far, err := e.requestAssociation(a.Addr(), r)
	if err != nil {
		_ = a.Close()
		_ = req.Refuse(serverError(err).Code, err.Error())
		e.unserved(r, err)
		return nil
	}
	e.start(r)
	if err := req.ReplyBound(a.Addr()); err != nil {
		_ = a.Close()
		splice.Abort(far, code.Cancelled, "")
		splice.Abort(app, code.Cancelled, "")
		e.events.RequestClosed(r, events.End{Err: err, Cancelled: true})
		return nil
	}
	return func() {
		err := e.carryDatagrams(app, far, a)
		e.events.RequestClosed(r, events.AssociationEnd(err, a.Counts()))
	}
}

// requestAssociation requests an association from a server. at, the address where this
// end receives datagrams, is only for the server's log. It waits for the exit's reply if
// eager mode is off or an association was recently refused.
func (e *Entry) requestAssociation(at netip.AddrPort, r *events.Request) (splice.Stream, error) {
	out := eagersocks.Request{
		Command:     eagersocks.UDP,
		Target:      eagersocks.Address{Host: at.Addr().WithZone("").String(), Port: at.Port()},
		ReplyWanted: true,
	}
	b, err := out.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.timeout)
	defer cancel()
	lower, err := e.open(ctx, r)
	if err != nil {
		return nil, err
	}
	if _, err := lower.Write(b); err != nil {
		splice.Abort(lower, code.Cancelled, "")
		return nil, fmt.Errorf("sending the request: %w", err)
	}
	far := &replied{Stream: lower}
	if e.eager.Mode != eagersocks.Off && !e.udp.recent() {
		return far, nil
	}
	_ = far.SetReadDeadline(time.Now().Add(e.timeout + replyGrace))
	if err := far.wait(); err != nil {
		splice.Abort(far, code.Cancelled, "")
		return nil, err
	}
	_ = far.SetReadDeadline(time.Time{})
	return far, nil
}

// carryDatagrams carries datagrams until the control connection or the session ends,
// then closes both.
func (e *Entry) carryDatagrams(app net.Conn, far splice.Stream, a *datagram.Association) error {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		untilEnd(app)
		cancel()
	}()
	err := a.Run(ctx, far)
	datagram.EndSession(far, err)
	if err == nil {
		_ = app.Close()
	} else {
		if r, ok := far.(*replied); ok && r.refused {
			e.udp.note()
		}
		splice.Abort(app, serverError(err).Code, err.Error())
	}
	<-ctx.Done()
	return err
}

// untilEnd reads and discards data from the control connection until it ends.
func untilEnd(app net.Conn) {
	var b [64]byte
	for {
		if _, err := app.Read(b[:]); err != nil {
			return
		}
	}
}

// replied is a session that begins with the exit's reply, which it reads before
// anything else.
type replied struct {
	splice.Stream
	// Owned by the goroutine that reads.
	arrived bool // the reply has arrived
	refused bool // the reply was a refusal
}

// wait reads the reply.
func (r *replied) wait() error {
	if r.arrived {
		return nil
	}
	why, err := eagersocks.ReadReply(r.Stream)
	if err != nil {
		return fmt.Errorf("waiting for the exit's reply: %w", err)
	}
	r.arrived, r.refused = true, why != code.OK
	if r.refused {
		return &code.Error{Code: why, Text: "association refused by the exit: " + why.String()}
	}
	return nil
}

// Read implements net.Conn.
func (r *replied) Read(p []byte) (int, error) {
	if err := r.wait(); err != nil {
		return 0, err
	}
	return r.Stream.Read(p)
}

// Reset implements code.Resetter.
func (r *replied) Reset(c code.Code, text string) error {
	splice.Abort(r.Stream, c, text)
	return nil
}
