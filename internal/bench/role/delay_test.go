package role

import (
	"io"
	"net"
	"testing"
	"time"

	"tunnels/internal/bench/load"
)

// dialTest connects with a timeout suitable for tests.
func dialTest(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn)
}

func testOrigin(t *testing.T) *origin {
	t.Helper()
	o, err := startOrigin("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func testRelay(t *testing.T, l Link, target string) *relay {
	t.Helper()
	r, err := startRelay(RelaySpec{Link: l, Listen: "127.0.0.1:0", Target: target})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// roundTrip returns how long c takes to echo one byte.
func roundTrip(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := c.Write([]byte{7}); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

func TestRelayDelays(t *testing.T) {
	o := testOrigin(t)
	const rtt = 40 * time.Millisecond
	r := testRelay(t, Link{RTT: rtt}, o.addrs.Echo)
	var c *net.TCPConn
	first := time.Hour
	for range 10 { // the shortest, because a busy machine adds to most of them
		began := time.Now() // the relay's handshake may start before dialTest returns
		c = dialTest(t, r.tcp.Addr())
		roundTrip(t, c)
		first = min(first, time.Since(began))
	}
	if first < 2*rtt || first > 4*rtt {
		t.Errorf("first byte after %s, want %s: one round trip for the handshake, one for the data", first, 2*rtt)
	}
	shortest := time.Hour
	for range 10 {
		shortest = min(shortest, roundTrip(t, c))
	}
	if shortest < rtt || shortest > rtt+10*time.Millisecond {
		t.Errorf("shortest of 10 round trips is %s, want %s", shortest, rtt)
	}
}

func TestRelayCarriesAllAndEnds(t *testing.T) {
	o := testOrigin(t)
	for _, l := range []Link{{}, {RTT: 10 * time.Millisecond}, {RTT: 10 * time.Millisecond, Rate: 200 << 20}} {
		r := testRelay(t, l, o.addrs.Sink)
		sent, err := load.Pour(dialTest(t, r.tcp.Addr()), o.pool, time.Now().Add(100*time.Millisecond))
		if err != nil {
			t.Errorf("with %v: %v", l, err)
		}
		if sent < 1<<20 {
			t.Errorf("with %v: %d bytes in 100 ms, want at least 1 MiB", l, sent)
		}
	}
}

// TestRelayLimits: all connections together never exceed the rate. Whether they reach it
// is checked by TestLane, because the relay is slower on a busy machine.
func TestRelayLimits(t *testing.T) {
	o := testOrigin(t)
	const rate, enough = 8 << 20, 4 << 20
	began := time.Now()
	r := testRelay(t, Link{RTT: 10 * time.Millisecond, Rate: rate}, o.addrs.Source)
	var conns []*net.TCPConn
	for range 4 {
		conns = append(conns, dialTest(t, r.tcp.Addr()))
	}
	d, err := load.Download(conns, o.pool)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for read := int64(0); read < enough; <-tick.C {
		read = d.Bytes() // before reading the clock, as the line keeps sending
		took := time.Since(began)
		if most := int64(rate * took.Seconds()); read > most {
			t.Errorf("%d bytes arrived in %s, want at most %d", read, took, most)
			break
		}
		if took > 20*time.Second {
			t.Errorf("%d bytes arrived in %s, want %d", read, took, enough)
			break
		}
	}
	if err := d.Leave(); err != nil {
		t.Error(err)
	}
}

func TestLane(t *testing.T) {
	now := time.Now()
	l := lane{rate: 1000}
	for i, want := range []time.Duration{100, 200, 300} {
		leaves, goOn := l.take(100, now)
		if got := leaves.Sub(now); got != want*time.Millisecond {
			t.Errorf("piece %d leaves after %s, want %s", i, got, want*time.Millisecond)
		}
		if got := leaves.Sub(goOn); got != queueMax {
			t.Errorf("piece %d: the next may be sent %s before it leaves, want %s", i, got, queueMax)
		}
	}
	if _, ok := l.offer(100, now); ok {
		t.Error("offer to a full queue = true, want false")
	}
	later := now.Add(time.Second)
	if leaves, ok := l.offer(100, later); !ok || leaves.Sub(later) != 100*time.Millisecond {
		t.Errorf("offer to an empty queue = %s, %v, want 100ms, true", leaves.Sub(later), ok)
	}
}

func TestRelayUDP(t *testing.T) {
	o := testOrigin(t)
	const rtt = 20 * time.Millisecond
	r := testRelay(t, Link{RTT: rtt}, o.addrs.UDP)
	c, err := net.Dial("udp", r.tcp.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	shortest := time.Hour
	for range 5 {
		shortest = min(shortest, roundTrip(t, c))
	}
	if shortest < rtt || shortest > rtt+10*time.Millisecond {
		t.Errorf("shortest of 5 round trips is %s, want %s", shortest, rtt)
	}
}

// TestRelayResets: a reset is relayed as a reset, not as a clean end.
func TestRelayResets(t *testing.T) {
	a, err := Serve("127.0.0.1:0", func(_ *Acceptor, c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 1))
		c.SetLinger(0)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	r := testRelay(t, Link{RTT: 5 * time.Millisecond}, a.Addr())
	c := dialTest(t, r.tcp.Addr())
	c.Write([]byte{1})
	if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read from a connection that was reset = %v, want an error other than EOF", err)
	}
}
