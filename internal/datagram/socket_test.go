package datagram

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// TestReceiveAfterIdle: a socket that has released its buffer still receives
// everything.
func TestReceiveAfterIdle(t *testing.T) {
	c, from := udp(t, "127.0.0.1"), udp(t, "127.0.0.1")
	_ = c.SetDeadline(time.Time{})
	received := make(chan string)
	done := make(chan struct{})
	go func() {
		defer close(done)
		receive(c, time.Millisecond, func(_ netip.AddrPort, b []byte) { received <- string(b) })
	}()
	for i := range 100 {
		if i%2 == 0 { // pause for less and more than the idle time
			<-time.After(time.Duration(i) * 50 * time.Microsecond)
		}
		want := fmt.Sprint(i)
		if i%10 == 0 {
			want = "" // an empty datagram is valid too
		}
		if _, err := from.WriteTo([]byte(want), c.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-received:
			if got != want {
				t.Fatalf("received %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("datagram %d was not received", i)
		}
	}
	c.Close()
	<-done
}

// TestNoRoute: an address without a route is not chosen.
func TestNoRoute(t *testing.T) {
	if !hasRoute(netip.MustParseAddrPort("127.0.0.1:9")) {
		t.Error("no route to this machine")
	}
	if hasRoute(netip.AddrPortFrom(netip.MustParseAddr("fe80::1%none-such"), 9)) {
		t.Error("a route through an interface that does not exist")
	}
	if _, err := openSocket(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), 0)); err == nil {
		t.Error("a socket on an address that is not ours")
	}
}
