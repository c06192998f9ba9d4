package remux_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tunnels/internal/code"
)

// This file is a second implementation of the wire format in docs/PROTOCOL.md,
// independent of the code under test.

const (
	typeHello  = 1
	typeWindow = 2
	typeReset  = 3
	typePing   = 4
	typePong   = 5
	typeGoAway = 6
	typeOpen   = 7
)

// raw returns a frame whose length field may be wrong.
func raw(session, length uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, session)
	return append(binary.BigEndian.AppendUint16(b, length), payload...)
}

func data(n uint16, s string) []byte { return raw(n, uint16(len(s)), s) }
func fin(n uint16) []byte            { return raw(n, 0, "") }
func padding() []byte                { return raw(0, 0, "") }

func control(typ byte, body string) []byte {
	return raw(0, uint16(1+len(body)), string([]byte{typ})+body)
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

func be16(v uint16) string { return string(binary.BigEndian.AppendUint16(nil, v)) }
func be32(v uint32) string { return string(binary.BigEndian.AppendUint32(nil, v)) }
func be64(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }

// hello returns a HELLO of version 1; kv is key, value, key, value ...
func hello(id uint32, kv ...uint32) []byte {
	body := "\x01" + be32(id)
	for i := 0; i+1 < len(kv); i += 2 {
		body += string([]byte{byte(kv[i])}) + be32(kv[i+1])
	}
	return control(typeHello, body)
}

func window(n uint16, limit uint64) []byte { return control(typeWindow, be16(n)+be64(limit)) }
func ping(eight string) []byte             { return control(typePing, eight) }
func pong(eight string) []byte             { return control(typePong, eight) }
func open(n uint16) []byte                 { return control(typeOpen, be16(n)) }

func reset(n uint16, c code.Code, text string) []byte {
	return control(typeReset, be16(n)+string([]byte{byte(c)})+text)
}

func goAway(last uint16, c code.Code, text string) []byte {
	return control(typeGoAway, be16(last)+string([]byte{byte(c)})+text)
}

// frame is a received frame.
type frame struct {
	session uint16
	payload []byte
}

func (f frame) is(typ byte) bool { return f.session == 0 && len(f.payload) > 0 && f.payload[0] == typ }

func (f frame) wire() []byte { return raw(f.session, uint16(len(f.payload)), string(f.payload)) }

func (f frame) String() string {
	names := []string{"", "HELLO", "WINDOW", "RESET", "PING", "PONG", "GOAWAY", "OPEN"}
	p := f.payload
	switch {
	case f.session != 0 && len(p) == 0:
		return fmt.Sprintf("FIN %d", f.session)
	case f.session != 0 && len(p) > 40:
		return fmt.Sprintf("data %d, %d bytes, %.20q...", f.session, len(p), p)
	case f.session != 0:
		return fmt.Sprintf("data %d %q", f.session, p)
	case len(p) == 0:
		return "padding"
	case int(p[0]) < len(names):
		return fmt.Sprintf("%s %x (%[2]q)", names[p[0]], p[1:])
	}
	return fmt.Sprintf("control %x", p)
}

// patience is how long a test waits for an expected event.
const patience = 10 * time.Second

// peer plays one end of a conn.
type peer struct {
	testing.TB
	c      net.Conn
	silent atomic.Bool   // do not answer PINGs
	waits  time.Duration // how long to wait for a frame; 0 means patience

	wmu  sync.Mutex
	mu   sync.Mutex
	said bool   // HELLO has been sent; PINGs are answered only after it
	owed string // the PING received before HELLO was sent
	got  []frame
	end  error
	max  map[uint16]uint64 // limits granted by WINDOW
	wake chan struct{}     // holds a value when something has arrived
	n    uint64            // number of PINGs sent
}

// newPeer returns a peer on c that reads everything.
func newPeer(t testing.TB, c net.Conn) *peer {
	p := mutePeer(t, c)
	go p.read()
	return p
}

// mutePeer returns a peer that does not read until read is called.
func mutePeer(t testing.TB, c net.Conn) *peer {
	t.Cleanup(func() { c.Close() })
	return &peer{TB: t, c: c, max: map[uint16]uint64{}, wake: make(chan struct{}, 1)}
}

func (p *peer) read() {
	for {
		f, err := readFrame(p.c)
		p.mu.Lock()
		answer := err == nil && f.is(typePing) && !p.silent.Load()
		if answer && !p.said {
			answer, p.owed = false, string(f.payload[1:])
		}
		p.mu.Unlock()
		if answer {
			p.send(pong(string(f.payload[1:])))
		}
		p.mu.Lock()
		if err != nil {
			p.end = err
		} else {
			p.got = append(p.got, f)
			if f.is(typeWindow) && len(f.payload) == 11 {
				n := binary.BigEndian.Uint16(f.payload[1:])
				p.max[n] = max(p.max[n], binary.BigEndian.Uint64(f.payload[3:]))
			}
		}
		p.mu.Unlock()
		select {
		case p.wake <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func readFrame(r io.Reader) (frame, error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	f := frame{binary.BigEndian.Uint16(h[:]), make([]byte, binary.BigEndian.Uint16(h[2:]))}
	_, err := io.ReadFull(r, f.payload)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return f, err
}

func (p *peer) send(frames ...[]byte) error {
	p.wmu.Lock()
	defer p.wmu.Unlock()
	p.c.SetWriteDeadline(time.Now().Add(patience))
	_, err := p.c.Write(bytes.Join(frames, nil))
	return err
}

// write sends frames in one piece. If the other end has closed the conn, the next
// expectation fails.
func (p *peer) write(frames ...[]byte) {
	p.Helper()
	if err := p.send(frames...); errors.Is(err, os.ErrDeadlineExceeded) {
		p.Fatalf("the other end is not reading: %v", err)
	}
	if b := frames[0]; len(b) < 5 || b[0] != 0 || b[1] != 0 || b[4] != typeHello {
		return
	}
	p.mu.Lock()
	owed := p.owed
	p.said, p.owed = true, ""
	p.mu.Unlock()
	if owed != "" {
		p.send(pong(owed))
	}
}

// next returns the next frame, skipping control frames of the given types.
func (p *peer) next(skip ...byte) (frame, error) {
	late := time.NewTimer(cmp.Or(p.waits, patience))
	defer late.Stop()
	for {
		p.mu.Lock()
		for len(p.got) > 0 {
			f := p.got[0]
			p.got = p.got[1:]
			if f.session != 0 || !bytes.Contains(skip, f.payload[:min(1, len(f.payload))]) || len(f.payload) == 0 {
				p.mu.Unlock()
				return f, nil
			}
		}
		end := p.end
		p.mu.Unlock()
		if end != nil {
			return frame{}, end
		}
		select {
		case <-p.wake:
		case <-late.C:
			return frame{}, fmt.Errorf("nothing received: %w", os.ErrDeadlineExceeded)
		}
	}
}

// limit returns how much may be sent on session n, given the limit in HELLO.
func (p *peer) limit(n uint16, h helloFrame) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(h.window(), int(p.max[n]))
}
