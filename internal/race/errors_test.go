package race

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
)

// TestFailures checks that the error has the most telling code, and that its text names
// all failures.
func TestFailures(t *testing.T) {
	const c4 = "192.0.2.3"
	silent := behaviour{after: never}
	fails := func(err error) behaviour {
		return behaviour{err: &net.OpError{Op: "dial", Net: "tcp", Err: err}}
	}
	refused, noNet, noHost := fails(syscall.ECONNREFUSED), fails(syscall.ENETUNREACH), fails(syscall.EHOSTUNREACH)
	tests := []struct {
		name   string
		behave [3]behaviour // for a4, b4, c4
		code   code.Code
		text   string
	}{
		{"refused", [3]behaviour{noNet, refused, silent}, code.Refused, a4 + ":80: network unreachable; " + b4 + ":80: connection refused; " + c4 + ":80: timed out"},
		{"timed out", [3]behaviour{noNet, silent, noHost}, code.Timeout, a4 + ":80: network unreachable; " + c4 + ":80: host unreachable; " + b4 + ":80: timed out"},
		{"no host", [3]behaviour{noNet, noHost, fails(errors.New("odd"))}, code.HostUnreachable, c4 + ":80: odd"},
		{"no network", [3]behaviour{noNet, noNet, fails(errors.New("odd"))}, code.NetUnreachable, "network unreachable"},
		{"odd", [3]behaviour{fails(errors.New("odd")), fails(errors.New("odd")), fails(errors.New("odd"))}, code.General, a4 + ":80: odd; "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := newTrack(map[string]behaviour{a4: tt.behave[0], b4: tt.behave[1], c4: tt.behave[2]})
				_, err := tr.run(t.Context(), a4+" "+b4+" "+c4, allowAll)
				if c, _ := code.Of(err); c != tt.code || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error %v with code %v, want %s with code %v", err, c, tt.text, tt.code)
				}
			})
		})
	}
}

// TestBounds checks that hundreds of silent addresses cause only a few attempts and a
// short error text.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrack(map[string]behaviour{})
		var list strings.Builder
		for i := range 200 {
			for _, a := range []string{fmt.Sprintf("192.0.2.%d", i), fmt.Sprintf("2001:db8::%x", i+1)} {
				tr.behave[a] = behaviour{after: never}
				fmt.Fprintln(&list, a)
			}
		}
		_, err := tr.run(t.Context(), list.String(), allowAll)
		if c, _ := code.Of(err); c != code.Timeout || !strings.HasSuffix(err.Error(), "; and 12 more") || len(err.Error()) > 400 {
			t.Errorf("error %v, want a short one with code %v", err, code.Timeout)
		}
		if len(tr.tried) != maxAttempts {
			t.Errorf("%d attempts, want %d", len(tr.tried), maxAttempts)
		}
		if took := time.Since(tr.began); took != 10*time.Second {
			t.Errorf("took %v, want all of the 10 s available", took)
		}
	})
}

// TestContext tests races that are canceled, time out or have no address.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrack(map[string]behaviour{a4: {after: never}, a6: {after: never}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err := tr.run(ctx, a6+" "+a4, allowAll)
		if c, _ := code.Of(err); c != code.Cancelled {
			t.Errorf("cancelled: %v, want code %v", err, code.Cancelled)
		}
		tr.want(t, a6+"@0", 100*time.Millisecond)
		late, cancelLate := context.WithDeadline(t.Context(), time.Now())
		defer cancelLate()
		_, err = tr.run(late, a6+" "+a4, allowAll)
		if c, _ := code.Of(err); c != code.Timeout || err.Error() != "no time left to connect" {
			t.Errorf("too late: %v, want code %v", err, code.Timeout)
		}
		tr.want(t, "", 0)
		_, err = tr.run(t.Context(), "", allowAll)
		if c, _ := code.Of(err); c != code.HostUnreachable {
			t.Errorf("without an address: %v, want code %v", err, code.HostUnreachable)
		}
	})
}

func TestCode(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want code.Code
	}{
		{fmt.Errorf("x: %w", syscall.ECONNREFUSED), code.Refused},
		{fmt.Errorf("x: %w", syscall.ECONNRESET), code.Refused},
		{fmt.Errorf("x: %w", syscall.ECONNABORTED), code.Refused},
		{fmt.Errorf("x: %w", syscall.ETIMEDOUT), code.Timeout},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), code.Timeout},
		{fmt.Errorf("x: %w", context.Canceled), code.Cancelled},
		{fmt.Errorf("x: %w", &code.Error{Code: code.NotAllowed}), code.NotAllowed},
		{errors.New("x"), code.General},
	} {
		if got := Code(tt.err); got != tt.want {
			t.Errorf("Code(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}

// TestConcurrent checks that concurrent races share the remembered winners.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTrack(map[string]behaviour{a6: {after: never}})
		for i := range 100 {
			go func() {
				c, err := tr.Connect(t.Context(), fmt.Sprintf("h%d.example", i%7), parseAddrs(a6+" "+a4), uint16(i+1), allowAll)
				if err != nil || c.to != netip.AddrPortFrom(netip.MustParseAddr(a4), uint16(i+1)) {
					t.Errorf("Connect = %v, %v", c, err)
				}
			}()
		}
		time.Sleep(attemptDelay)
		synctest.Wait()
		if n := tr.winners.Len(); n != 7 {
			t.Errorf("%d hosts are remembered, want 7", n)
		}
	})
}
