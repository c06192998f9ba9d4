package role

import (
	"io"
	"strings"
	"testing"
	"time"

	"tunnels/internal/bench/load"
)

func TestTLSRelay(t *testing.T) {
	o := testOrigin(t)
	back, err := startTLSBack("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	front, err := startTLSFront(TLSFrontSpec{Addr: "127.0.0.1:0", Back: back.where().(TLSBackAddrs)})
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	d := load.Dialer{Proxy: front.Addr()}
	c, err := d.Dial(t.Context(), o.addrs.Sink)
	if err != nil {
		t.Fatal(err)
	}
	if sent, err := load.Pour(c, o.pool, time.Now().Add(50*time.Millisecond)); err != nil || sent == 0 {
		t.Errorf("upload of %d bytes: %v", sent, err)
	}
	if c, err = d.Dial(t.Context(), o.addrs.HTTP); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != HTTPAnswer {
		t.Errorf("response = %q, %v, want %q", got, err, HTTPAnswer)
	}
	c.Close()
	if _, err := d.Dial(t.Context(), FreeAddr()); err == nil || !strings.Contains(err.Error(), "code 1") {
		t.Errorf("dial to a closed port = %v, want code 1", err)
	}
}

// TestTLSRelayVerifies: the front end refuses to connect to any other back end.
func TestTLSRelayVerifies(t *testing.T) {
	o := testOrigin(t)
	var backs [2]*tlsEnd
	for i := range backs {
		b, err := startTLSBack("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		backs[i] = b
	}
	front, err := startTLSFront(TLSFrontSpec{Addr: "127.0.0.1:0", Back: TLSBackAddrs{backs[0].Addr(), backs[1].cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	d := load.Dialer{Proxy: front.Addr()}
	if _, err := d.Dial(t.Context(), o.addrs.Echo); err == nil {
		t.Error("dial through a back end with a different certificate = nil, want an error")
	}
}
