package tls

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/crl"
)

// TestRevocationStaysInForce checks that whatever happens to a file with revocation
// lists, certificates stay revoked as long as their CA is trusted, other lists still
// take effect, and an error reports the problem.
func TestRevocationStaysInForce(t *testing.T) {
	a, b, other := newPKI(t), newPKI(t), newPKI(t)
	a1, b2 := a.list(1), b.list(2)
	later := func(p *pki, serial int64) []byte { return p.listAt(serial, 9, time.Now().Add(time.Minute)) }
	for _, tt := range []struct {
		name    string
		change  func(own, shared string)
		wantErr string   // empty if no error is expected
		want    []string // serial numbers revoked, in order
	}{
		{"nothing", func(_, _ string) {}, "", []string{"1", "2"}},
		{"both lists in one file", func(own, shared string) {
			_ = os.Remove(own)
			_ = os.WriteFile(shared, slices.Concat(a1, b2), 0o644)
		}, "", []string{"1", "2"}},
		{"one list gone", func(own, _ string) { _ = os.Remove(own) }, "it no longer contains the list issued by " + certtext.Label(a.ca.Cert), []string{"1", "2"}},
		{"both gone", func(own, shared string) { _, _ = os.Remove(own), os.Remove(shared) }, "no longer exists", []string{"1", "2"}},
		{"one damaged", func(own, _ string) { _ = os.WriteFile(own, a1[:90], 0o644) }, "block 1 of 1 is damaged", []string{"1", "2"}},
		{"one damaged, the other with an addition", func(own, shared string) {
			_ = os.WriteFile(own, a1[:90], 0o644)
			_ = os.WriteFile(shared, later(b, 3), 0o644)
		}, "block 1 of 1 is damaged", []string{"1", "3"}},
		{"replaced by a different CA's", func(own, _ string) { _ = os.WriteFile(own, other.list(7), 0o644) }, crl.ErrForeign.Error(), []string{"1", "2"}},
		{"a different CA's added", func(own, _ string) { _ = os.WriteFile(own, slices.Concat(later(a, 4), other.list(7)), 0o644) }, crl.ErrForeign.Error(), []string{"4", "2"}},
		{"a different CA's added to ca.crl", func(_, shared string) { _ = os.WriteFile(shared, slices.Concat(other.list(7), later(b, 5)), 0o644) }, "", []string{"1", "5"}},
		{"an older copy", func(own, _ string) { _ = os.WriteFile(own, a.listAt(6, 0, a.since.Add(-time.Hour)), 0o644) }, "is older than the current one", []string{"1", "6", "2"}},
		{"a newer one", func(own, _ string) { _ = os.WriteFile(own, later(a, 8), 0o644) }, "", []string{"8", "2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPKI(t)
			cfg := a.server()
			cfg.CA = p.write("clients.pem", slices.Concat(a.ca.CertPEM(), b.ca.CertPEM()))
			own, shared := p.write("clients.crl", a1), p.write("ca.crl", b2)
			s, err := newStore(cfg, ServerRole)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(own, shared)
			for range 2 { // the second check starts from the result of the first
				_, err = s.reload()
				if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
					t.Errorf("reload = %v, want %q", err, tt.wantErr)
				}
				var got []string
				for _, list := range s.now.Load().crls {
					for serial := range list.Since {
						got = append(got, serial)
					}
				}
				slices.Sort(got)
				want := slices.Sorted(slices.Values(tt.want))
				if !slices.Equal(got, want) {
					t.Errorf("revoked: %q, want %q", got, want)
				}
			}
		})
	}
}

// TestFailureIsRepeated checks that an unreadable list is reported repeatedly until it
// can be read.
func TestFailureIsRepeated(t *testing.T) {
	p := newPKI(t)
	cfg := p.server()
	p.revoke(p.leaf(ClientRole, "laptop"))
	s, err := newStore(cfg, ServerRole)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(p.path("ca.crl"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p.write("ca.crl", good[:50])
		p.write("server.pem", []byte("broken"))
		reported := map[string]int{}
		for range 3 * 60 / 2 {
			for _, e := range s.check() {
				if e.err == nil {
					t.Errorf("event about %s without an error", e.what)
				}
				what, _, _ := strings.Cut(e.what, " (")
				reported[what]++
			}
			time.Sleep(2 * time.Second)
		}
		if reported[partCRL] != 3 || reported[partPair] != 1 || len(reported) != 2 {
			t.Errorf("within three minutes: %v, want the list three times and the certificate once", reported)
		}
		p.write("ca.crl", good)
		p.server()
		if events := s.check(); len(events) != 2 || events[0].err != nil || events[1].err != nil {
			t.Errorf("events for the repaired files: %v, want two without an error", events)
		}
	})
}
