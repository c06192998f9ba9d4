package tunnel

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestUserMistakes checks that a request that can only be a user's mistake is logged as
// one warning, with repeats counted in a later one, and that silent connections cause
// none.
func TestUserMistakes(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	r.serverLog.Wait(t, "server", "[conn] + ") // or the end of the test may interrupt the dial
	say := func(addr net.Addr, text string) {
		t.Helper()
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, text)
		if text == "" {
			return
		}
		_, _ = io.Copy(io.Discard, c) // the answer does not matter
	}
	mistakes := []struct{ said, line string }{
		{"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "it looks like TLS"},
		{"\x05\x01\x02", "does not offer \"no authentication\""},
		{"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", "SOCKS5 command 2 is not supported"},
		{"\x05\x01\x00\x05\x09\x00\x01\x7f\x00\x00\x01\x00\x50", "unrecognized command[9]"},
		{"\x04\x02\x00\x50\x7f\x00\x00\x01\x00", "command 2 is not supported"},
		{"GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "HTTP request refused"},
		{"GET / HTTP/1.1\r\nHost: " + r.client.Addr().String() + "\r\n\r\nGET http://b.test:bad/ HTTP/1.1\r\nHost: b\r\n\r\n", "HTTP request refused: "},
	}
	for range 3 {
		for _, m := range mistakes {
			say(r.client.Addr(), m.said)
		}
		say(r.client.Addr(), "")
		say(r.client.Addr(), "\x00\x01garbage")
		say(r.server.Addr(), "") // like a load balancer's probe
	}
	r.clientLog.Wait(t, "client", "[debg] [main] no request from 127.0.0.1:", "greeting begins with 0x00")
	r.serverLog.Wait(t, "server", "[debg] [main] client at 127.0.0.1:", "closed the connection in the middle of the TLS handshake")
	if got := r.serverLog.With("[warn]"); len(got) != 0 {
		t.Errorf("the server logged warnings about probes: %q", got)
	}
	until(t, "all mistakes are counted", func() bool { // may happen after the answer
		return int(r.mistakes.Load()) == 3*len(mistakes)
	})
	r.client.Close()
	r.clientJ.Close()
	warnings := r.clientLog.With("[warn]")
	if len(warnings) != 2*len(mistakes) {
		t.Errorf("%d warnings, want two for each of %d mistakes:\n%s", len(warnings), len(mistakes), strings.Join(warnings, "\n"))
	}
	for _, m := range mistakes {
		r.clientLog.Wait(t, "client", "[warn] [main] no request from 127.0.0.1: ", m.line)
		r.clientLog.Wait(t, "client", "[warn] [main] no request from 127.0.0.1: ", m.line, " (2 more times)")
	}
}
