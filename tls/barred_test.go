package tls

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"tunnels/tls/internal/certtext"
)

// TestDismissed checks that a pending Read, a Write and later calls return the reason
// if an open conn's client is no longer accepted.
func TestDismissed(t *testing.T) {
	p := newPKI(t)
	laptop := p.leaf(ClientRole, "laptop")
	h := serve(t, p.server())
	_, s := h.pair(newClient(t, p.config("laptop.pem", laptop)))
	read := make(chan error, 1)
	go func() {
		_, err := s.Read(make([]byte, 1))
		read <- err
	}()
	p.revoke(laptop)
	errs := []error{receive(t, read, "end of Read")}
	_, err := s.Read(make([]byte, 1))
	errs = append(errs, err)
	_, err = s.ReadMore(make([]byte, 100_000))
	errs = append(errs, err)
	_, err = s.Write(make([]byte, 10))
	errs = append(errs, err)
	_, err = s.Write(make([]byte, 100_000))
	errs = append(errs, err, s.CloseWrite())
	if s.CanWriteNow() {
		_, err = s.WriteNow(make([]byte, 10))
		errs = append(errs, err)
	}
	want := "client laptop: its certificate was revoked on " + certtext.Day(p.since)
	for i, err := range errs {
		if !errors.Is(err, ErrDismissed) || err.Error() != want {
			t.Errorf("operation %d: %v, want %q", i+1, err, want)
		}
	}
}

// TestBarred checks that a client's conn stays open, but is barred, when its
// certificate expires.
func TestBarred(t *testing.T) {
	p := newPKI(t)
	h := serve(t, p.server())
	c, s := h.pair(newClient(t, p.client("laptop")))
	if err := s.Barred(); err != nil {
		t.Errorf("Barred with a valid certificate: %v", err)
	}
	if got, want := s.expires, p.ca.Cert.NotAfter; got.After(want) {
		t.Errorf("the conn expires at %v, after its CA at %v", got, want)
	}
	s.expires = time.Now().Add(-time.Second)
	want := "the certificate of laptop expired on " + certtext.Day(s.expires)
	if err := s.Barred(); err == nil || err.Error() != want {
		t.Errorf("Barred with an expired certificate: %v, want %q", err, want)
	}
	wantTalk(t, c, s)
}

func TestValidUntil(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	cert := func(n int) *x509.Certificate { return &x509.Certificate{NotAfter: at(n)} }
	leaf := cert(5)
	for _, tt := range []struct {
		name   string
		chains [][]*x509.Certificate
		want   time.Time
	}{
		{"the leaf ends first", [][]*x509.Certificate{{leaf, cert(9)}}, at(5)},
		{"the CA ends first", [][]*x509.Certificate{{leaf, cert(3)}}, at(3)},
		{"an intermediate ends first", [][]*x509.Certificate{{leaf, cert(2), cert(9)}}, at(2)},
		{"another chain lasts longer", [][]*x509.Certificate{{leaf, cert(3)}, {leaf, cert(4)}}, at(4)},
		{"not verified", nil, time.Time{}},
	} {
		if got := validUntil(leaf, tt.chains); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if err := (&Conn{}).Barred(); err != nil {
		t.Errorf("Barred of a conn that does not expire: %v", err)
	}
}
