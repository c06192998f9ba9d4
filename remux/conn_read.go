package remux

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"tunnels/internal/code"
)

// moreReader is a lower connection that can read several records at once.
type moreReader interface {
	// ReadMore is Read that may go on for as long as it needs not wait.
	ReadMore(p []byte) (int, error)
}

// readLoop reads frames until the conn ends, and says why. It waits for
// nothing but the lower connection.
func (c *conn) readLoop() error {
	read := c.nc.Read
	if more, ok := c.nc.(moreReader); ok {
		read = more.ReadMore
	}
	in := inbox{own: make([]byte, inboxSizes[0])}
	defer in.resize(0)
	buf := in.own
	var split demux
	have := 0
	for {
		n, err := read(buf[have:])
		if n > 0 {
			c.came(n)
			have += n
			used, verr := c.feed(&split, buf[:have])
			split.flush() // the pieces are in buf
			if verr != nil {
				c.violated(verr)
				return c.discard(buf)
			}
			buf, have = in.next(buf, n, buf[used:have])
		}
		if err != nil {
			return err
		}
	}
}

// discard reads to the end of a conn that is over, so that the peer gets to
// see why.
func (c *conn) discard(buf []byte) error {
	for {
		if _, err := c.nc.Read(buf); err != nil {
			return err
		}
	}
}

// feed handles the frames in p, as far as they have come, and says how many of
// its bytes are done with.
func (c *conn) feed(split *demux, p []byte) (int, *code.Error) {
	done := 0
	for {
		rest := p[done:]
		if split.left > 0 {
			n := min(split.left, len(rest))
			if n == 0 {
				return done, nil
			}
			split.add(rest[:n])
			split.left -= n
			done += n
			continue
		}
		if len(rest) < headerLen {
			return done, nil
		}
		number, length := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if number == 0 {
			split.flush()
			n, err := c.feedControl(split, rest, length)
			if n == 0 || err != nil {
				return done, err
			}
			done += n
			continue
		}
		if !split.started {
			split.started = true
			if err := c.withoutHello(); err != nil {
				return done, err
			}
		}
		done += headerLen
		s, err := c.lookup(number, length)
		if err != nil {
			return done, err
		}
		if length == 0 && s != nil {
			split.flush()
			s.finished()
			continue
		}
		split.session, split.left = s, length
	}
}

// feedControl handles the control frame at the start of p and returns its
// length; 0: it has not come in full.
func (c *conn) feedControl(split *demux, p []byte, length int) (int, *code.Error) {
	if c.isBasic() && split.started {
		split.session, split.left = nil, length
		return headerLen, nil
	}
	if length > maxControl {
		return 0, &code.Error{Code: code.Protocol, Text: fmt.Sprintf("control frame of %d bytes, more than %d", length, maxControl)}
	}
	if len(p) < headerLen+length {
		return 0, nil
	}
	f, err := parseControl(p[headerLen : headerLen+length])
	if err != nil {
		return 0, &code.Error{Code: code.Protocol, Text: err.Error()}
	}
	if split.started == (f.typ == typeHello) {
		if split.started {
			return 0, &code.Error{Code: code.Protocol, Text: "a second HELLO"}
		}
		split.started = true
		return headerLen + length, c.withoutHello()
	}
	split.started = true
	return headerLen + length, c.handle(f)
}

func (c *conn) isBasic() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer.kind == peerBasic
}

// withoutHello: a peer whose first frame is not HELLO knows data frames only,
// unless it has said that it knows better.
func (c *conn) withoutHello() *code.Error {
	var ended []*Session
	c.mu.Lock()
	c.peer.spoke = true
	switch c.peer.kind {
	case peerFull:
		c.mu.Unlock()
		return &code.Error{Code: code.Protocol, Text: "the first frame is not HELLO"}
	case peerUnknown:
		ended = c.setBasicLocked()
	}
	told := c.end.told
	c.mu.Unlock()
	for _, s := range ended {
		c.gone(s)
	}
	if !told {
		c.tellOpened(rand.Uint32())
	}
	c.owner.connGreeted()
	return nil
}

// handle acts on a control frame of a full peer.
func (c *conn) handle(f control) *code.Error {
	if names := f.typ == typeWindow || f.typ == typeReset || f.typ == typeOpen; names && f.session == 0 {
		return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("control frame of type %d for session 0", f.typ)}
	}
	switch f.typ {
	case typeHello:
		return c.greeted(f.hello)
	case typeWindow:
		return c.windowed(f.session, f.limit)
	case typeReset:
		return c.wasReset(f.session, &code.Error{Code: f.code, Text: string(f.text), Remote: true})
	case typePing:
		c.mu.Lock()
		c.keepalive.pingedLocked(c, f.ping)
		c.mu.Unlock()
	case typePong:
		c.mu.Lock()
		if c.keepalive.pongedLocked(c, f.ping) {
			c.end.refuse = true
			c.closeIfDoneLocked()
		}
		c.mu.Unlock()
	case typeGoAway:
		c.mu.Lock()
		c.peer.goneAway = true
		idle := len(c.table.sessions) == 0
		c.mu.Unlock()
		if idle {
			c.owner.connIdle(c)
		}
	case typeOpen:
		_, err := c.lookup(f.session, 1)
		return err
	}
	return nil
}

func (c *conn) greeted(h hello) *code.Error {
	c.mu.Lock()
	if c.peer.kind == peerBasic { // we have sent beyond any window since
		c.mu.Unlock()
		return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("HELLO came later than %s", helloMax)}
	}
	c.peer.spoke = true
	c.peer.kind = peerFull
	c.peer.sessMax = int(min(h.sessions, lastID))
	c.peer.maxFrame = int(min(h.frame, maxPayload))
	c.peer.window = uint64(h.window)
	c.peer.unheard = nil
	for _, s := range c.table.sessions {
		s.sendMax = max(s.sendMax, c.peer.window)
		if s.fin == finHeld {
			s.fin = finWanted
		}
		c.readyLocked(s)
	}
	told := c.end.told
	c.mu.Unlock()
	if !told {
		c.tellOpened(h.conn)
	}
	c.owner.connGreeted()
	return nil
}

func (c *conn) windowed(number uint16, limit uint64) *code.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.table.sessions[number]
	if s == nil {
		return c.knownLocked(number, "WINDOW")
	}
	if limit > s.sendMax {
		s.sendMax = limit
		c.readyLocked(s)
	}
	return nil
}

func (c *conn) wasReset(number uint16, why *code.Error) *code.Error {
	c.mu.Lock()
	s := c.table.sessions[number]
	if s == nil {
		defer c.mu.Unlock()
		return c.knownLocked(number, "RESET")
	}
	c.removeLocked(s, why, why)
	c.mu.Unlock()
	s.stopReading(why, why.Code == code.TargetReset, false)
	c.gone(s)
	return nil
}

// knownLocked: a frame for a session that is gone is late, one for a session
// that never was is an error.
func (c *conn) knownLocked(number uint16, frame string) *code.Error {
	if c.isOurs(number) && uint32(number) < c.table.nextID || c.table.seen.has(number) {
		return nil
	}
	return &code.Error{Code: code.Protocol, Text: fmt.Sprintf("%s for session %d, which was never opened", frame, number)}
}

// lookup finds the session of a data frame, opening it where the number is
// new. Nil: the frame is to be dropped.
func (c *conn) lookup(number uint16, length int) (*Session, *code.Error) {
	c.mu.Lock()
	if s := c.table.sessions[number]; s != nil {
		c.mu.Unlock()
		return s, nil
	}
	if c.isOurs(number) && (c.dialer || c.peer.kind != peerBasic) {
		defer c.mu.Unlock()
		c.table.dropped += uint64(length)
		return nil, c.knownLocked(number, "data")
	}
	known := c.table.seen.has(number)
	if known || length == 0 || c.end.state == closing || c.end.state == dead {
		if !known {
			c.table.seen.add(number)
		}
		c.table.dropped += uint64(length)
		c.mu.Unlock()
		return nil, nil
	}
	s := c.acceptLocked(number)
	c.mu.Unlock()
	if s == nil {
		c.bar()
		return nil, nil
	}
	c.opened(s)
	if !c.owner.accept(c, s) {
		s.reset(errQueueFull(), true)
		return nil, nil
	}
	return s, nil
}

// acceptLocked begins a session of the peer; nil: it was refused.
func (c *conn) acceptLocked(number uint16) *Session {
	c.table.seen.add(number)
	barred := c.barredLocked()
	switch {
	case barred != nil:
		c.sayResetLocked(number, code.NotAuthorised, barred.Error(), false)
		return nil
	case c.end.refuse:
		c.sayResetLocked(number, code.GoingAway, "", false)
		return nil
	case len(c.table.sessions)-c.table.locals >= c.cfg.SessMax:
		c.sayResetLocked(number, code.Overload, fmt.Sprintf("more than %d sessions on one conn", c.cfg.SessMax), false)
		return nil
	}
	c.table.served = true
	s := c.addLocked(number)
	s.opened.Store(true)
	if c.peer.kind == peerFull && s.granted.Load() > floor {
		s.flow.lazy = true // nobody else has the session yet
		s.due = true
		c.out.due = append(c.out.due, s)
	}
	return s
}

// receive takes n bytes of payload from the conn's reader; false: the session is
// over and wants no more.
func (s *Session) receive(pieces [][]byte, n int) bool {
	s.mu.Lock()
	if s.basic.Load() && s.rbuf.len+n > basicMax {
		s.awaitRoom(n)
	}
	var why *code.Error
	switch f := &s.flow; {
	case s.rclosed:
		why = &code.Error{Code: code.Cancelled}
	case s.rerr != nil:
		why = &code.Error{Code: code.Protocol, Text: "data after the end of the session"}
	case f.received+uint64(n) > f.limit && !s.basic.Load():
		why = &code.Error{Code: code.FlowControl, Text: fmt.Sprintf("%d bytes sent where %d were granted", f.received+uint64(n), f.limit)}
	case s.basic.Load() && s.rbuf.len+n > basicMax:
		why = &code.Error{Code: code.Overload, Text: "the application does not read"}
	case !f.budget.take(n):
		why = &code.Error{Code: code.Overload, Text: "too many bytes wait for applications that do not read"}
	default:
		f.received += uint64(n)
		return s.storeAndUnlock(pieces, n)
	}
	s.mu.Unlock()
	s.reset(why, false)
	return false
}

// storeAndUnlock hands the n bytes, for which there is room, to the application
// or keeps them; false: nobody wants them any more.
func (s *Session) storeAndUnlock(pieces [][]byte, n int) bool {
	grant, wanted := false, true
	if sink := s.sink; sink != nil && s.rbuf.len == 0 && s.lent == nil {
		// Whoever reads the session waits for rbuf meanwhile, so nothing that
		// comes later can overtake.
		s.mu.Unlock()
		taken := sink(pieces)
		s.mu.Lock()
		grant = s.consumedLocked(taken)
		pieces, n = behind(pieces, taken), n-taken
		wanted = !s.rclosed && s.rerr == nil
	}
	switch {
	case !wanted:
		s.conn.cfg.Budget.free(n)
	case n > 0:
		for _, p := range pieces {
			s.rbuf.append(p)
		}
		s.wakeReaderLocked()
	}
	s.mu.Unlock()
	if grant {
		s.conn.windowDue(s, true)
	}
	return wanted
}

// behind is what follows the first n bytes of pieces.
func behind(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if n > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}

// awaitRoom waits, for a basic peer's sake, until n more bytes fit. It
// holds up all sessions of that conn: such a peer cannot be told to wait.
func (s *Session) awaitRoom(n int) {
	late := false
	timer := time.AfterFunc(basicStall, func() {
		s.mu.Lock()
		late = true
		s.rcond.Broadcast()
		s.mu.Unlock()
	})
	defer timer.Stop()
	for s.rbuf.len+n > basicMax && !late && !s.rclosed && s.rerr == nil {
		s.rcond.Wait()
	}
}

// finished is the peer's end of its direction.
func (s *Session) finished() {
	s.mu.Lock()
	if s.rerr == nil {
		s.rerr = io.EOF
	}
	s.wakeReaderLocked()
	s.mu.Unlock()
	if s.basic.Load() {
		s.tellEnd(nil) // before a Write fails
	}

	c := s.conn
	c.mu.Lock()
	s.gotFin = true
	if c.peer.kind == peerBasic && s.fin != finSent { // its end is the session's
		s.fin = finWanted
		s.failWriteLocked(io.ErrClosedPipe)
		c.readyLocked(s)
	}
	ended := s.fin == finSent && !s.ended
	if ended {
		c.removeLocked(s, nil, nil)
	}
	c.mu.Unlock()
	if ended {
		c.gone(s)
	}
}
