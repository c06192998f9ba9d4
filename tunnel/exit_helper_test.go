package tunnel

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

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/testnet"
)

// ips is addresses separated by blanks.
func ips(list string) []netip.Addr {
	var as []netip.Addr
	for _, s := range strings.Fields(list) {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

// zone is a DNS server that knows these names; of each, addresses separated by
// blanks.
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

// newTestExit is an exit that asks dns; change may be nil.
func newTestExit(t *testing.T, dns *testnet.DNS, change func(*Config)) *exit {
	t.Helper()
	cfg := Config{DNS: dns.Addr()}
	if change != nil {
		change(&cfg)
	}
	e, err := newExit(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

// ledger is a judge, and a network that nothing answers on; it writes down what
// it is asked.
type ledger struct {
	judge // static; says what the ledger says

	mu      sync.Mutex
	allowed []netip.AddrPort // guarded by mu
	dialled []netip.AddrPort // guarded by mu
}

// keep puts a ledger between e and its policy and network.
func keep(e *exit) *ledger {
	l := &ledger{judge: &e.policy}
	e.race.Dial = l.dial
	return l
}

func (l *ledger) AllowAddr(a netip.AddrPort, via string) error {
	err := l.judge.AllowAddr(a, via)
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
	l.dialled = append(l.dialled, to)
	return nil, syscall.ECONNREFUSED
}

// entries is the addresses dialled since the last call, separated by blanks; each
// of them was allowed before.
func (l *ledger) entries(t *testing.T) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.allowed, l.dialled) {
		t.Errorf("dialled %v, allowed %v", l.dialled, l.allowed)
	}
	var texts []string
	for _, a := range l.dialled {
		texts = append(texts, a.Addr().String())
	}
	l.allowed, l.dialled = nil, nil
	return strings.Join(texts, " ")
}

// wantDialError dials host through e, which has to fail with that code and text.
func wantDialError(t *testing.T, e *exit, j judge, host string, want code.Code, text string) {
	t.Helper()
	c, err := e.dial(t.Context(), "client", j, eagersocks.Address{Host: host, Port: 80})
	if err == nil {
		c.Close()
	}
	why, ok := errors.AsType[*code.Error](err)
	if !ok || why.Code != want || !strings.Contains(why.Text, text) {
		t.Errorf("dial(%s) = %v, want code %v that says: %s", host, err, want, text)
	}
}
