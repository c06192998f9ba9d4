package role

import (
	"encoding/binary"
	"io"
	"testing"

	"tunnels/internal/bench/load"
)

// TestSinkChecks: the sink detects wrong content.
func TestSinkChecks(t *testing.T) {
	o := testOrigin(t)
	c := dialTest(t, o.addrs.Sink)
	c.Write(make([]byte, 100))
	c.CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil || len(b) != 8 || binary.BigEndian.Uint64(b) != load.BadContent {
		t.Errorf("the sink's count for zeros = %x, %v, want %x", b, err, load.BadContent)
	}
}

// TestSourceAsked: the source sends exactly as many bytes as requested.
func TestSourceAsked(t *testing.T) {
	o := testOrigin(t)
	size := len(o.pool)
	c := dialTest(t, o.addrs.Source)
	c.Write(binary.BigEndian.AppendUint64(nil, uint64(size+5)))
	b, err := io.ReadAll(c)
	if err != nil || len(b) != size+5+8 || binary.BigEndian.Uint64(b[len(b)-8:]) != uint64(size+5) {
		t.Errorf("source asked for %d bytes sends %d, %v", size+5, len(b)-8, err)
	}
}
