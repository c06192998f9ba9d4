package conn

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"tunnels/internal/code"
	"tunnels/remux/internal/flow"
	"tunnels/remux/internal/frame"
)

// moreReader is a lower connection that can read several records at once.
type moreReader interface {
	// ReadMore is like Read, but continues reading for as long as it need not wait.
	ReadMore(p []byte) (int, error)
}

// readLoop reads frames until the conn ends, and returns the reason. It blocks only on
// the lower connection.
func (c *Conn) readLoop() error {
	read := c.nc.Read
	if more, ok := c.nc.(moreReader); ok {
		read = more.ReadMore
	}
	in := flow.NewInbox()
	defer in.Release()
	buf := in.First()
	d := demux{conn: c}
	have := 0
	for {
		n, err := read(buf[have:])
		if n > 0 {
			c.noteReceived(n)
			have += n
			used, verr := c.feed(&d, buf[:have])
			d.flush() // the pieces point into buf
			if verr != nil {
				c.violated(verr)
				return c.discard(buf)
			}
			buf, have = in.Next(buf, n, buf[used:have])
		}
		if err != nil {
			return err
		}
	}
}

// discard reads and drops whatever the peer still sends on a finished conn. Closing it
// with unread bytes could keep the peer from receiving the reason.
func (c *Conn) discard(buf []byte) error {
	for {
		if _, err := c.nc.Read(buf); err != nil {
			return err
		}
	}
}

// feed processes the frames in p, the last of which may be incomplete, and returns how
// many bytes of p it consumed.
func (c *Conn) feed(d *demux, p []byte) (int, *code.Error) {
	done := 0
	for {
		rest := p[done:]
		if d.left > 0 {
			n := min(d.left, len(rest))
			if n == 0 {
				return done, nil
			}
			d.add(rest[:n])
			d.left -= n
			done += n
			continue
		}
		if len(rest) < frame.HeaderLen {
			return done, nil
		}
		number, length := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if number == 0 {
			d.flush()
			n, err := c.feedControl(d, rest, length)
			if n == 0 || err != nil {
				return done, err
			}
			done += n
			continue
		}
		if !d.started {
			d.started = true
			if err := c.withoutHello(); err != nil {
				return done, err
			}
		}
		done += frame.HeaderLen
		s, err := c.lookup(number, length)
		if err != nil {
			return done, err
		}
		if length == 0 && s != nil {
			d.flush()
			s.finished(c)
			continue
		}
		d.session, d.left = s, length
	}
}

// feedControl processes the control frame at the start of p and returns its length, or 0
// if it is incomplete.
func (c *Conn) feedControl(d *demux, p []byte, length int) (int, *code.Error) {
	if c.isBasic() && d.started {
		d.session, d.left = nil, length
		return frame.HeaderLen, nil
	}
	if length > frame.MaxControl {
		return 0, &code.Error{Code: code.Protocol, Text: fmt.Sprintf("control frame is %d bytes; the maximum is %d", length, frame.MaxControl)}
	}
	if len(p) < frame.HeaderLen+length {
		return 0, nil
	}
	f, err := frame.ParseControl(p[frame.HeaderLen : frame.HeaderLen+length])
	if err != nil {
		return 0, &code.Error{Code: code.Protocol, Text: err.Error()}
	}
	if d.started == (f.Type == frame.TypeHello) {
		if d.started {
			return 0, &code.Error{Code: code.Protocol, Text: "a second HELLO"}
		}
		d.started = true
		return frame.HeaderLen + length, c.withoutHello()
	}
	d.started = true
	return frame.HeaderLen + length, c.handle(f)
}

func (c *Conn) isBasic() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer.kind == peerBasic
}

// withoutHello handles a first frame that is not HELLO: the peer supports only data
// frames, unless TLS has agreed on the full protocol.
func (c *Conn) withoutHello() *code.Error {
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
	reported := c.end.reported
	c.mu.Unlock()
	for _, s := range ended {
		c.gone(s)
	}
	if !reported {
		c.reportOpened(rand.Uint32())
	}
	c.owner.ConnGreeted()
	return nil
}
