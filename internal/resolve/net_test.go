package resolve

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/internal/code"
	"tunnels/internal/testnet"
)

type message = dnsmessage.Message

var twoAddrs = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}

// right returns a correct server's answer.
func right(q *message) *message { return testnet.DNSAnswer(q, 60, twoAddrs...) }

// newNet returns a resolver that uses the upstreams in list.
func newNet(t *testing.T, list string) *Resolver {
	t.Helper()
	ups, err := Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	r := New(Config{Upstreams: ups})
	t.Cleanup(r.Close)
	r.patience = []time.Duration{30 * time.Second} // enough even on a busy machine
	return r
}

func wantQueries(t *testing.T, d *testnet.DNS, want int) {
	t.Helper()
	if v4, v6 := d.Asked(dnsmessage.TypeA), d.Asked(dnsmessage.TypeAAAA); v4 != want || v6 != want {
		t.Errorf("the server was queried %d times for A and %d for AAAA, want %d each", v4, v6, want)
	}
}

// TestThousand checks that a thousand requests for one name cause two queries.
func TestThousand(t *testing.T) {
	all := make(chan struct{})
	d := testnet.NewDNS(t, func(q *message, _ bool) []*message {
		<-all
		return []*message{right(q)}
	})
	r := newNet(t, d.Addr())
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() { wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1") })
	}
	defer wg.Wait()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for waiting := 0; waiting < 2000; <-tick.C { // wait until every request is waiting for both families
		r.mu.Lock()
		waiting = 0
		for _, f := range r.flights {
			waiting += f.waiters
		}
		r.mu.Unlock()
		if time.Since(begun) > 20*time.Second {
			t.Errorf("%d waiters for the two questions, want 2000", waiting)
			break
		}
	}
	close(all)
	wg.Wait()
	wantQueries(t, d, 1)
}

// TestTransports tests answers over UDP, over TCP, and over TCP after a truncated UDP
// answer.
func TestTransports(t *testing.T) {
	for _, tt := range []struct {
		scheme    string
		truncated bool
		want      int // number of queries of each type
	}{
		{"", false, 1}, {"udp://", false, 1}, {"udp://", true, 2}, {"tcp://", false, 1},
	} {
		d := testnet.NewDNS(t, func(q *message, tcp bool) []*message {
			a := right(q)
			if tt.truncated && !tcp {
				a.Truncated, a.Answers = true, nil
			}
			if tcp != (tt.scheme == "tcp://") && !tt.truncated {
				t.Errorf("%s: queried with tcp = %v", tt.scheme, tcp)
			}
			return []*message{a}
		})
		wantAddrs(t, newNet(t, tt.scheme+d.Addr()), "a.example", "2001:db8::1 192.0.2.1")
		wantQueries(t, d, tt.want)
	}
}

// TestForged checks that datagrams that do not answer the question are dropped, and
// that the correct answer after them is used.
func TestForged(t *testing.T) {
	evil := func(q *message) *message {
		return testnet.DNSAnswer(q, 3600, netip.MustParseAddr("203.0.113.66"), netip.MustParseAddr("2001:db8::66"))
	}
	for name, forge := range map[string]func(m *message){
		"id":          func(m *message) { m.ID++ },
		"no answer":   func(m *message) { m.Response = false },
		"opcode":      func(m *message) { m.OpCode = 4 },
		"name":        func(m *message) { m.Questions[0].Name = dnsmessage.MustNewName("b.example.") },
		"type":        func(m *message) { m.Questions[0].Type = dnsmessage.TypeTXT },
		"class":       func(m *message) { m.Questions[0].Class = dnsmessage.ClassCHAOS },
		"no question": func(m *message) { m.Questions = nil },
		"two":         func(m *message) { m.Questions = append(m.Questions, m.Questions[0]) },
	} {
		d := testnet.NewDNS(t, func(q *message, tcp bool) []*message {
			if tcp {
				t.Errorf("%s: queried over TCP", name)
			}
			m := evil(q)
			forge(m)
			return []*message{m, right(q)}
		})
		t.Run(name, func(t *testing.T) {
			wantAddrs(t, newNet(t, d.Addr()), "a.example", "2001:db8::1 192.0.2.1")
			wantQueries(t, d, 1)
		})
	}
}

// TestGuessing checks that after many wrong answers, which suggest an attack, the
// query is repeated over TCP.
func TestGuessing(t *testing.T) {
	d := testnet.NewDNS(t, func(q *message, tcp bool) (answers []*message) {
		for range maxForeign {
			m := right(q)
			m.ID++
			answers = append(answers, m)
		}
		if tcp {
			return []*message{right(q)}
		}
		return answers
	})
	r := newNet(t, d.Addr())
	wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
	wantQueries(t, d, 2)
}

// TestOtherSource checks that an otherwise correct answer from a different address is
// ignored.
func TestOtherSource(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := newNet(t, server.LocalAddr().String())
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 2048)
		for range 2 { // A and AAAA
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				t.Error(err)
				return
			}
			var q message
			if err := q.Unpack(buf[:n]); err != nil {
				t.Error(err)
			}
			bad, _ := testnet.DNSAnswer(&q, 60, netip.MustParseAddr("203.0.113.66"), netip.MustParseAddr("2001:db8::66")).Pack()
			good, _ := right(&q).Pack()
			other.WriteTo(bad, from)
			server.WriteTo(good, from)
		}
	})
	wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
	wg.Wait()
}

// TestDead checks that if one server is silent, closed or broken, the next one is used.
func TestDead(t *testing.T) {
	silent := testnet.NewDNS(t, func(*message, bool) []*message { return nil })
	broken := testnet.NewDNS(t, func(q *message, _ bool) []*message {
		m := right(q)
		m.RCode = dnsmessage.RCodeServerFailure
		return []*message{m}
	})
	lame := testnet.NewDNS(t, func(q *message, _ bool) []*message {
		m := testnet.DNSAnswer(q, 60)
		m.RecursionAvailable = false
		return []*message{m}
	})
	closed := testnet.ClosedPort(t)
	live := testnet.NewDNS(t, func(q *message, _ bool) []*message { return []*message{right(q)} })
	for _, list := range []string{
		silent.Addr(), "tcp://" + silent.Addr(), closed, "tcp://" + closed, broken.Addr(), "tcp://" + broken.Addr(), lame.Addr(),
		"https://" + closed + "/dns-query",
		silent.Addr() + "," + broken.Addr() + "," + closed,
	} {
		r := newNet(t, list+","+live.Addr())
		r.patience = []time.Duration{200 * time.Millisecond, 10 * time.Second}
		r.servers[len(r.servers)-1].upstream = patient{r.servers[len(r.servers)-1].upstream}
		wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
	}
	r := newNet(t, silent.Addr())
	r.patience = []time.Duration{20 * time.Millisecond, 20 * time.Millisecond}
	wantCode(t, r, "a.example", code.Timeout, "udp://"+silent.Addr()+": did not answer: ")
	wantCode(t, newNet(t, "tcp://"+closed), "a.example", code.HostUnreachable, "tcp://"+closed+": ")
}

// patient is an upstream that waits long enough even on a busy machine.
type patient struct{ upstream }

func (p patient) lookup(ctx context.Context, q question, _ time.Duration) (answer, error) {
	return p.upstream.lookup(ctx, q, time.Minute)
}

// TestNegative tests negative answers in various forms, with the TTL from the SOA.
func TestNegative(t *testing.T) {
	soa := func(q *message, ttl, minimum uint32) *message {
		m := testnet.DNSAnswer(q, 0)
		m.Authorities = []dnsmessage.Resource{
			{Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 9999}, Body: &dnsmessage.NSResource{NS: q.Questions[0].Name}},
			{Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: ttl},
				Body: &dnsmessage.SOAResource{NS: q.Questions[0].Name, MBox: q.Questions[0].Name, MinTTL: minimum}},
		}
		return m
	}
	d := testnet.NewDNS(t, func(q *message, _ bool) []*message {
		m := soa(q, 60, 30)
		if strings.HasPrefix(q.Questions[0].Name.String(), "gone.") {
			m = soa(q, 20, 40)
			m.RCode = dnsmessage.RCodeNameError
		}
		return []*message{m}
	})
	r := newNet(t, d.Addr())
	for range 3 {
		wantCode(t, r, "gone.example", code.HostUnreachable, "name gone.example does not exist (udp://"+d.Addr()+")")
		wantCode(t, r, "empty.example", code.HostUnreachable, "name empty.example has no address")
	}
	wantQueries(t, d, 2)
	for name, want := range map[string]time.Duration{"gone.example": 20 * time.Second, "empty.example": 30 * time.Second} {
		if a, ok := r.answers.Get(question{name, false}); !ok || a.ttl != want {
			t.Errorf("%s is cached: %v, for %v, want %v", name, ok, a.ttl, want)
		}
	}
}

// TestSystem tests the system's resolver, configured to use a server in the test.
func TestSystem(t *testing.T) {
	d := testnet.NewDNS(t, func(q *message, _ bool) []*message {
		name := q.Questions[0].Name.String()
		switch m := testnet.DNSAnswer(q, 0, twoAddrs[0]); {
		case strings.HasPrefix(name, "both."):
			return []*message{right(q)}
		case strings.HasPrefix(name, "four."):
			return []*message{m}
		case strings.HasPrefix(name, "broken."):
			m.Answers, m.RCode = nil, dnsmessage.RCodeServerFailure
			return []*message{m}
		default:
			m.Answers, m.RCode = nil, dnsmessage.RCodeNameError
			return []*message{m}
		}
	})
	s := newSystem("")
	s.PreferGo = true
	s.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, d.Addr())
	}
	r := newResolver([]upstream{s})
	t.Cleanup(r.Close)
	wantAddrs(t, r, "both.example.", "2001:db8::1 192.0.2.1")
	wantAddrs(t, r, "four.example.", "192.0.2.1")
	wantCode(t, r, "gone.example.", code.HostUnreachable, "name gone.example. does not exist or has no address")
	wantCode(t, r, "broken.example.", code.HostUnreachable, "resolving broken.example.: system resolver: ")
	for name, want := range map[string]time.Duration{"both.example.": systemTTL, "gone.example.": systemNegativeTTL, "broken.example.": failureTTL} {
		if a, ok := r.answers.Get(question{name, false}); !ok || a.ttl != want {
			t.Errorf("%s is cached: %v, for %v, want %v", name, ok, a.ttl, want)
		}
	}
}
