//go:build unix

package acceptance

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// badRequests returns malformed requests (PROTOCOL.md section 6). R stands for the
// flags byte, which is sent with bit 0 clear and set.
func badRequests(port uint16) map[string]string {
	ok := string(address("127.0.0.1", port))
	all := map[string]string{
		"version 4":       "\x04\x01R" + ok,
		"version 0":       "\x00\x01R" + ok,
		"TLS hello":       "\x16\x03\x01\x00\x05hello",
		"HTTP":            "GET / HTTP/1.1\r\n\r\n",
		"command 0":       "\x05\x00R" + ok,
		"BIND":            "\x05\x02R" + ok,
		"command 4":       "\x05\x04R" + ok,
		"command 255":     "\x05\xffR" + ok,
		"flag 4":          "\x05\x01\x04" + ok,
		"flag 4 and bits": "\x05\x01\x07" + ok + "\x00\x00",
		"flag 128":        "\x05\x01\x80" + ok,
		"type 0":          "\x05\x01R\x00" + ok[1:],
		"type 2":          "\x05\x01R\x02" + ok[1:],
		"type 5":          "\x05\x01R\x05" + ok[1:],
		"type 255":        "\x05\x01R\xff" + ok[1:],
		"port 0":          "\x05\x01R" + ok[:5] + "\x00\x00",
		"options 1025":    "\x05\x01\x03" + ok + "\x04\x01" + strings.Repeat("\x00", 1025),
		"options 65535":   "\x05\x01\x03" + ok + "\xff\xff" + strings.Repeat("\x00", 65535),
		"option cut":      "\x05\x01\x03" + ok + "\x00\x01\x07",
		"option cut 2":    "\x05\x01\x03" + ok + "\x00\x02\x07\x00",
		"option too long": "\x05\x01\x03" + ok + "\x00\x04\x07\x00\x02x",
		"option 65535":    "\x05\x01\x03" + ok + "\x00\x03\x07\xff\xff",
	}
	for _, name := range []string{"", "a b", "a\tb", "a\x00b", "a\r\nb", "a:1", "::1", "[::1]", "::1%lo", "127.0.0.1", "\xff\xfe", "a\x7fb", "\x1b[2J", "a\u00a0b", "a\u2028b", "a\u0085b"} {
		all["name "+name] = "\x05\x01R" + string(address("x", port)[:1]) + string([]byte{byte(len(name))}) + name + ok[5:]
	}
	return all
}

// TestAdversaryExitRequests checks that a malformed request reaches no target, and is
// answered by a reset, or by a refusal if it requests a reply, but never by just a
// clean end.
func TestAdversaryExitRequests(t *testing.T) {
	t.Parallel()
	names := evilNames(t, func(string) []netip.Addr { return loopbacks })
	server := startServer(t, "-eagersocks.net=tcp", "-server.dns="+names.Addr())
	sink := testnet.Sink(t)
	port := portOf(t, sink.Addr)
	back := server.wantBack(32)
	for name, say := range badRequests(port) {
		for _, flag := range []string{"\x00", "\x01"} {
			told, end := foe(t, server.Addr, []byte(strings.Replace(say, "R", flag, 1)), false, patience)
			refused := len(told) == 10 && told[0] == 5 && told[1] != 0 && flag == "\x01"
			if end == stays || end == clean && !refused || len(told) > 0 && !refused && len(told) != 10 {
				t.Errorf("%q with flags %q: received % x, %s", name, flag, told, end)
			}
			if len(told) > 1 && told[1] == 0 {
				t.Errorf("%q with flags %q: the reply reports success", name, flag)
			}
		}
	}
	if n := sink.Accepted(); n != 0 {
		t.Errorf("%d of them reached the target", n)
	}
	ok := "\x05\x01\x03" + string(address("127.0.0.1", port))
	for _, tt := range []struct {
		req  string
		want int
	}{
		{ok + "\x00\x03\x07\x00\x00", 0},
		{ok + "\x03\xfc" + strings.Repeat("\xfe\x00\x00", 340), 0},
		{ok + "\x04\x00\x07\x03\xfd" + strings.Repeat("x", 1021), 0},
		{string(request(1, "a.example", port)), 0},
		{string(request(3, "0.0.0.0", 0)), 0},
	} {
		code, c, err := exitSays(byTCP(server.Addr), []byte(tt.req))
		if code != tt.want {
			t.Errorf("% .20x: code %d, %v; want %d", tt.req, code, err, tt.want)
		}
		c.Close()
	}
	back()
}

// TestAdversaryExitSlow checks that requests that stall after any number of bytes do
// not delay others, and are aborted after 15 s.
func TestAdversaryExitSlow(t *testing.T) {
	t.Parallel()
	server := startServer(t, "-eagersocks.net=tcp", "-server.client.sess.max.cnt=100")
	echo := testnet.Echo(t)
	back := server.wantBack(64)
	req := append([]byte("\x05\x01\x03\x03\x20"), strings.Repeat("x", 40)...)
	var all []net.Conn
	for i := range 600 {
		c, err := net.Dial("tcp", server.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(25 * time.Second))
		_, _ = c.Write(req[:i%36])
		all = append(all, c)
	}
	code, c, err := exitSays(byTCP(server.Addr), request(1, "127.0.0.1", portOf(t, echo.Addr)))
	if code != 0 {
		t.Errorf("a good request during 600 incomplete ones: code %d, %v", code, err)
	}
	c.Close()
	begin := time.Now()
	for i, c := range all {
		if b, err := io.ReadAll(c); len(b) > 0 || endingOf(err) != reset {
			t.Errorf("incomplete request %d: received % x, %s after %v", i, b, endingOf(err), time.Since(begin))
			break
		}
	}
	back()
}

// TestAdversaryExitRecords checks that a malformed record ends the association, but
// that a fragment, or a record that arrives in pieces, does not.
func TestAdversaryExitRecords(t *testing.T) {
	t.Parallel()
	server := startServer(t, "-eagersocks.net=tcp")
	target := newUDPTarget(t, "127.0.0.1", true)
	good := string(record("127.0.0.1", target.Port, "bad"))
	for name, say := range map[string]string{
		"length 0": "\x00\x00", "length 1": "\x00\x01\x00", "length 9": "\x00\x09" + good[2:11], "name beyond": "\x00\x08\x00\x00\x00\x03\xffabc", "no port": "\x00\x08\x00\x00\x00\x01\x7f\x00\x00\x01",
		"reserved": "\x00\x0d\x01" + good[3:], "reserved 2": "\x00\x0d\x00\x01" + good[4:], "type 0": good[:5] + "\x00" + good[6:], "type 2": good[:5] + "\x02" + good[6:], "type 255": good[:5] + "\xff" + good[6:],
		"IPv6 cut": good[:5] + "\x04" + good[6:], "port 0": string(record("127.0.0.1", 0, "bad")), "empty name": string(record("", 5, "bad")), "space": string(record("a b", 5, "bad")),
		"address as name": "\x00\x13\x00\x00\x00\x03\x09127.0.0.1\x00\x05bad", "zone": string(record("::1%lo", target.Port, "bad")),
	} {
		code, c, err := exitSays(byTCP(server.Addr), request(3, "0.0.0.0", 0))
		if code != 0 {
			t.Fatalf("association: code %d, %v", code, err)
		}
		_, _ = c.Write([]byte(say))
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
		if b, err := io.ReadAll(c); endingOf(err) == stays || len(b) > 0 {
			t.Errorf("%s (% .20x): %s, received % x; want the association to end", name, say, endingOf(err), b)
		}
		c.Close()
	}
	_, c, _ := exitSays(byTCP(server.Addr), request(3, "0.0.0.0", 0))
	defer c.Close()
	for _, frag := range []byte{1, 0x80, 255} {
		b := []byte(good)
		b[4] = frag
		_, _ = c.Write(b)
	}
	want := record("127.0.0.1", target.Port, "good")
	for i := range want { // one byte at a time
		_, _ = c.Write(want[i : i+1])
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !slices.Equal(got, want) {
		t.Errorf("received % x, %v; want % x", got, err, want)
	}
	if heard := target.heard(); !slices.Equal(heard, []string{"good"}) {
		t.Errorf("the target received %q", heard)
	}
}

// TestAdversaryRecordReset checks that without remux, a malformed record causes a reset
// of the association, as PROTOCOL.md requires in sections 6 and 7. After a clean end,
// the client would assume that the exit had finished.
func TestAdversaryRecordReset(t *testing.T) {
	t.Parallel()
	server := startServer(t, "-eagersocks.net=tcp")
	for name, say := range map[string]string{"length 0": "\x00\x00", "end in a record": "\x00\x0d\x00"} {
		code, c, err := exitSays(byTCP(server.Addr), request(3, "0.0.0.0", 0))
		if code != 0 {
			t.Fatalf("association: code %d, %v", code, err)
		}
		_, _ = c.Write([]byte(say))
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
		if b, err := io.ReadAll(c); endingOf(err) != reset {
			t.Errorf("%s: received % x, %s; want a reset", name, b, endingOf(err))
		}
		c.Close()
	}
}
