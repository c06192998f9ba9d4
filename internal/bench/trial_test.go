package bench

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestDownloadChecks: bytes corrupted by a proxy are detected.
func TestDownloadChecks(t *testing.T) {
	p := newPool()
	good := append([]byte(nil), p[:1<<20]...)
	changed := append([]byte(nil), good...)
	changed[0] ^= 1
	tests := []struct {
		name string
		data []byte
		sent uint64
		want string // part of the error, or empty for none
	}{
		{"whole", good, 1 << 20, ""},
		{"nothing", nil, 0, ""},
		{"cut", good[:1000], 1 << 20, "came"},
		{"too much", good, 1000, "came"},
		{"changed", changed, 1 << 20, "is not the one"},
		{"shifted", good[1:], 1<<20 - 1, "is not the one"},
	}
	for _, tt := range tests {
		c, s := net.Pipe()
		go func() {
			s.Write(tt.data)
			s.Write(binary.BigEndian.AppendUint64(nil, tt.sent))
			s.Close()
		}()
		err := new(downloads).take(c, p)
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: take = %v, want %q", tt.name, err, tt.want)
		}
		c.Close()
	}
}

// TestUploadChecks: corrupted uploads are detected.
func TestUploadChecks(t *testing.T) {
	p := newPool()
	for want, answer := range map[string]func(uint64) uint64{
		"":            func(n uint64) uint64 { return n },
		"came":        func(n uint64) uint64 { return n - 1 },
		"others came": func(uint64) uint64 { return badContent },
	} {
		a, err := serve("127.0.0.1:0", func(_ *acceptor, c *net.TCPConn) {
			n, _ := io.Copy(io.Discard, c)
			c.Write(binary.BigEndian.AppendUint64(nil, answer(uint64(n))))
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = pour(dialTest(t, a.addr()), p, time.Now())
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("pour = %v, want %q", err, want)
		}
		a.Close()
	}
}

// TestSinkChecks: the sink itself detects wrong content.
func TestSinkChecks(t *testing.T) {
	o := testOrigin(t)
	c := dialTest(t, o.addrs.Sink)
	c.Write(make([]byte, 100))
	c.CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil || len(b) != 8 || binary.BigEndian.Uint64(b) != badContent {
		t.Errorf("answer of the sink to zeros = %x, %v, want %x", b, err, badContent)
	}
}

// TestSourceAsked: the source sends as many bytes as requested.
func TestSourceAsked(t *testing.T) {
	o := testOrigin(t)
	c := dialTest(t, o.addrs.Source)
	c.Write(binary.BigEndian.AppendUint64(nil, poolSize+5))
	b, err := io.ReadAll(c)
	if err != nil || len(b) != poolSize+5+8 || binary.BigEndian.Uint64(b[len(b)-8:]) != poolSize+5 {
		t.Errorf("source asked for %d bytes sends %d, %v", poolSize+5, len(b)-8, err)
	}
}
