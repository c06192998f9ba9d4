package resolve

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tunnels/internal/code"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an upstream whose answers are provided by the test.
type fake struct {
	asked  chan question // buffered; nil if questions are not counted
	answer func(ctx context.Context, q question) (answer, error)
}

func (f *fake) String() string { return "fake" }
func (f *fake) close()         {}

func (f *fake) lookup(ctx context.Context, q question, patience time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if f.asked != nil {
		f.asked <- q
	}
	return f.answer(ctx, q)
}

// newFake returns a resolver with one fake upstream that calls answer; it sends its
// questions to asked.
func newFake(t *testing.T, answer func(ctx context.Context, q question) (answer, error)) (r *Resolver, asked chan question) {
	asked = make(chan question, 10_000)
	r = newResolver([]upstream{&fake{asked, answer}})
	t.Cleanup(r.Close)
	return r, asked
}

// drain returns the number of questions for each family since the last call.
func drain(asked chan question) (v4, v6 int) {
	for {
		select {
		case q := <-asked:
			if q.v6 {
				v6++
			} else {
				v4++
			}
		default:
			return v4, v6
		}
	}
}

func wantAsked(t *testing.T, when string, asked chan question, want4, want6 int) {
	t.Helper()
	if v4, v6 := drain(asked); v4 != want4 || v6 != want6 {
		t.Errorf("%s: queried %d times for IPv4 and %d for IPv6, want %d and %d", when, v4, v6, want4, want6)
	}
}

// addrs parses addresses separated by spaces.
func addrs(list string) []netip.Addr {
	var as []netip.Addr
	for _, s := range strings.Fields(list) {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

func wantAddrs(t *testing.T, r *Resolver, host, want string) {
	t.Helper()
	got, err := r.Lookup(t.Context(), "client", host)
	if err != nil || !slices.Equal(got, addrs(want)) {
		t.Errorf("Lookup(%.300q) = %v, %v, want %s", host, got, err, want)
	}
}

func wantCode(t *testing.T, r *Resolver, host string, want code.Code, text string) {
	t.Helper()
	got, err := r.Lookup(t.Context(), "client", host)
	wantError(t, host, got, err, want, text)
}

func wantError(t *testing.T, host string, got []netip.Addr, err error, want code.Code, text string) {
	t.Helper()
	e, ok := errors.AsType[*code.Error](err)
	if !ok || e.Code != want || !strings.Contains(e.Text, text) || got != nil {
		t.Errorf("Lookup(%.300q) = %v, %v, want code %v, with %s", host, got, err, want, text)
	}
}
