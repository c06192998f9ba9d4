package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/netx"
	"tunnels/internal/race"
)

// fakeServer is a server name whose addresses accept connections, refuse them or do not
// respond.
type fakeServer struct {
	addrs   []netip.Addr
	refuse  bool
	answers string // the only address that accepts connections
	asked   string // the last lookup's network argument
}

func (f *fakeServer) dialer() *Dialer {
	d := NewDialer(netx.Dialer(0), 10*time.Second)
	d.lookup = func(_ context.Context, network, host string) ([]netip.Addr, error) {
		f.asked = network
		if host != "vps.example" {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return f.addrs, nil
	}
	d.race = race.New(func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		switch {
		case to.Addr().String() == f.answers:
			c, other := net.Pipe()
			return c, other.Close()
		case f.refuse:
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	return d
}

func addrs(list string) (all []netip.Addr) {
	for _, s := range strings.Fields(list) {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// TestServerAddressesRaced checks that an unresponsive address of a server's name costs
// 250 ms once, then no time as long as the address that responded is remembered.
func TestServerAddressesRaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{addrs: addrs("192.0.2.66 192.0.2.2"), answers: "192.0.2.2"}
		d := f.dialer()
		for i, want := range []time.Duration{250 * time.Millisecond, 0, 0} {
			begin := time.Now()
			c, err := d.Dial(t.Context(), "tcp4", "vps.example:443")
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if took := time.Since(begin); took != want {
				t.Errorf("dial %d took %v, want %v", i, took, want)
			}
		}
		if f.asked != "ip4" {
			t.Errorf("for tcp4 the name was looked up on %s, want ip4", f.asked)
		}
		f.answers = "192.0.2.66" // now the other address does not respond
		if c, err := d.Dial(t.Context(), "tcp", "vps.example:443"); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		f.addrs, f.answers = addrs("192.0.2.3"), "192.0.2.3" // the name now has a new address
		if c, err := d.Dial(t.Context(), "tcp", "vps.example:444"); err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
	})
}

// TestServerAddressesFail checks that errors can be recognized just as with a single
// address.
func TestServerAddressesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{addrs: addrs("192.0.2.66 192.0.2.2"), refuse: true}
		d := f.dialer()
		_, err := d.Dial(t.Context(), "tcp", "vps.example:443")
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" || op.Timeout() || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("all addresses refuse: %#v", err)
		}
		if want := "192.0.2.66:443: connection refused; 192.0.2.2:443: connection refused"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("all addresses refuse: %v, want an error that contains %q", err, want)
		}
		f.refuse = false
		_, err = d.Dial(t.Context(), "tcp", "vps.example:443")
		if op, ok := errors.AsType[*net.OpError](err); !ok || !op.Timeout() {
			t.Errorf("no address responds: %v, want a timeout", err)
		}
		_, err = d.Dial(t.Context(), "tcp", "other.example:443")
		if dns, ok := errors.AsType[*net.DNSError](err); !ok || !dns.IsNotFound {
			t.Errorf("no such name: %v", err)
		}
	})
	if _, err := new(fakeServer).dialer().Dial(t.Context(), "tcp", "vps.example:no-such-port"); err == nil {
		t.Error("an unknown port name was dialed")
	}
}
