package exit

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/internal/code"
	"tunnels/internal/netx"
	"tunnels/internal/policy"
	"tunnels/internal/resolve"
	"tunnels/internal/testnet"
)

// ips parses addresses separated by spaces.
func ips(list string) []netip.Addr {
	var as []netip.Addr
	for _, s := range strings.Fields(list) {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

// zone returns a DNS server for the given names, each with addresses separated by
// spaces.
func zone(t *testing.T, names map[string]string) *testnet.DNS {
	t.Helper()
	return testnet.NewDNS(t, func(q *dnsmessage.Message, _ bool) []*dnsmessage.Message {
		list, ok := names[strings.TrimSuffix(q.Questions[0].Name.String(), ".")]
		a := testnet.DNSAnswer(q, 60, ips(list)...)
		if !ok {
			a.RCode = dnsmessage.RCodeNameError
		}
		return []*dnsmessage.Message{a}
	})
}

// testConfig configures an exit under test.
type testConfig struct {
	Allow, Deny []string
	DialTimeout time.Duration
}

// testExit is an exit with a policy as its judge.
type testExit struct {
	*Exit
	policy policy.Exit
}

// newTestExit returns an exit that queries dns; change may be nil.
func newTestExit(t *testing.T, dns *testnet.DNS, change func(*testConfig)) *testExit {
	t.Helper()
	cfg := testConfig{DialTimeout: 10 * time.Second}
	if change != nil {
		change(&cfg)
	}
	ups, err := resolve.Parse(dns.Addr())
	if err != nil {
		t.Fatal(err)
	}
	e := &testExit{Exit: New(resolve.New(resolve.Config{Upstreams: ups}), cfg.DialTimeout)}
	t.Cleanup(e.Close)
	e.policy.Own = new(netx.Own).Has
	for list, text := range map[**policy.List][]string{&e.policy.Allow: cfg.Allow, &e.policy.Deny: cfg.Deny} {
		if *list, err = policy.Parse(strings.Join(text, ",")); err != nil {
			t.Fatal(err)
		}
	}
	e.policy.Allow.Name = "-server.allow"
	return e
}

// ledger is both a judge and a network on which nothing answers. It records the calls to
// both.
type ledger struct {
	Judge // the judge whose decisions are recorded; immutable after creation

	mu      sync.Mutex
	allowed []netip.AddrPort // guarded by mu
	dialed  []netip.AddrPort // guarded by mu
}

// keep inserts a ledger between e and its policy and network.
func keep(e *testExit) *ledger {
	l := &ledger{Judge: &e.policy}
	e.race.Dial = l.dial
	return l
}

func (l *ledger) AllowAddr(a netip.AddrPort, via string) error {
	err := l.Judge.AllowAddr(a, via)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.allowed = append(l.allowed, a)
	}
	return err
}

func (l *ledger) dial(_ context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialed = append(l.dialed, to)
	return nil, syscall.ECONNREFUSED
}

// entries returns the addresses dialed since the last call, separated by spaces, and
// checks that each was allowed first.
func (l *ledger) entries(t *testing.T) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.allowed, l.dialed) {
		t.Errorf("dialed %v, allowed %v", l.dialed, l.allowed)
	}
	var texts []string
	for _, a := range l.dialed {
		texts = append(texts, a.Addr().String())
	}
	l.allowed, l.dialed = nil, nil
	return strings.Join(texts, " ")
}

// wantDialError dials host through e and checks that it fails with the given code and
// text.
func wantDialError(t *testing.T, e *testExit, j Judge, host string, want code.Code, text string) {
	t.Helper()
	c, _, err := e.Dial(t.Context(), "client", j, host, 80)
	if err == nil {
		c.Close()
	}
	why, ok := errors.AsType[*code.Error](err)
	if !ok || why.Code != want || !strings.Contains(why.Text, text) {
		t.Errorf("dial(%s) = %v, want code %v and the text %q", host, err, want, text)
	}
}
