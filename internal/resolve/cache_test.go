package resolve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
)

// both answers 192.0.2.1 for 10 s and 2001:db8::1 for 30 s.
func both(_ context.Context, q question) (answer, error) {
	if q.v6 {
		return answer{addrs: addrs("2001:db8::1"), ttl: 30 * time.Second}, nil
	}
	return answer{addrs: addrs("192.0.2.1"), ttl: 10 * time.Second}, nil
}

// TestTTL checks that each family is cached for the TTL of its own records.
func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, asked := newFake(t, both)
		wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
		wantAsked(t, "first", asked, 1, 1)
		time.Sleep(10*time.Second - 1)
		wantAddrs(t, r, "A.Example", "2001:db8::1 192.0.2.1")
		wantAsked(t, "just before the end", asked, 0, 0)
		time.Sleep(time.Nanosecond)
		wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
		wantAsked(t, "once IPv4 has expired", asked, 1, 0)
	})
}

// TestTTLLimits tests which answers are cached, and for how long.
func TestTTLLimits(t *testing.T) {
	notThere := &code.Error{Code: code.HostUnreachable, Text: "does not exist"}
	tests := []struct {
		name string
		a    answer
		err  error
		want time.Duration
	}{
		{"positive", answer{addrs: addrs("192.0.2.1"), ttl: time.Minute}, nil, time.Minute},
		{"positive 0", answer{addrs: addrs("192.0.2.1")}, nil, minTTL},
		{"positive huge", answer{addrs: addrs("192.0.2.1"), ttl: 1e6 * time.Hour}, nil, maxTTL},
		{"negative", answer{why: notThere, ttl: time.Minute}, nil, time.Minute},
		{"negative without SOA", answer{why: notThere}, nil, minTTL},
		{"negative huge", answer{why: notThere, ttl: time.Hour}, nil, maxNegativeTTL},
		{"no address", answer{ttl: time.Minute}, nil, time.Minute},
		{"failure", answer{}, &rcodeError{"SERVFAIL"}, failureTTL},
		{"silence", answer{}, context.DeadlineExceeded, failureTTL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, asked := newFake(t, func(context.Context, question) (answer, error) { return tt.a, tt.err })
				look := func() {
					if got, err := r.Lookup(t.Context(), "client", "a.example"); (err == nil) != (len(tt.a.addrs) > 0) {
						t.Errorf("Lookup = %v, %v", got, err)
					}
				}
				look()
				drain(asked)
				time.Sleep(tt.want - 1)
				look()
				wantAsked(t, "just before the end", asked, 0, 0)
				time.Sleep(time.Nanosecond)
				look()
				if v4, v6 := drain(asked); v4 == 0 || v6 == 0 {
					t.Errorf("after %v: queried %d times for IPv4, %d for IPv6, want both again", tt.want, v4, v6)
				}
			})
		})
	}
}

// TestErrorTexts tests the error texts for a name without an address.
func TestErrorTexts(t *testing.T) {
	none := answer{ttl: time.Minute}
	gone := answer{ttl: time.Minute, why: &code.Error{Code: code.HostUnreachable, Text: "does not exist"}}
	servfail := &rcodeError{"SERVFAIL"}
	tests := []struct {
		name       string
		v4, v6     answer
		err4, err6 error
		code       code.Code
		text       string
	}{
		{"neither", none, none, nil, nil, code.HostUnreachable, "name a.example has no address"},
		{"no name", gone, gone, nil, nil, code.HostUnreachable, "name a.example does not exist (fake)"},
		{"SERVFAIL", answer{}, answer{}, servfail, servfail, code.HostUnreachable, "resolving a.example: fake: answered SERVFAIL"},
		{"IPv4 unknown", answer{}, none, servfail, nil, code.HostUnreachable, "answered SERVFAIL"},
		{"IPv6 unknown", none, answer{}, nil, context.DeadlineExceeded, code.Timeout, "deadline exceeded"},
		{"silence", answer{}, answer{}, context.DeadlineExceeded, context.DeadlineExceeded, code.Timeout, "fake: context deadline"},
	}
	for _, tt := range tests {
		r, _ := newFake(t, func(_ context.Context, q question) (answer, error) {
			if q.v6 {
				return tt.v6, tt.err6
			}
			return tt.v4, tt.err4
		})
		t.Run(tt.name, func(t *testing.T) { wantCode(t, r, "a.example", tt.code, tt.text) })
	}
}

// TestNoQuery tests hosts that need no query, and hosts that must never be queried.
func TestNoQuery(t *testing.T) {
	r, asked := newFake(t, both)
	for host, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8::7": "2001:db8::7", "::ffff:10.0.0.1": "10.0.0.1",
		"localhost": "127.0.0.1 ::1", "LocalHost.": "127.0.0.1 ::1", "a.localhost": "127.0.0.1 ::1",
	} {
		wantAddrs(t, r, host, want)
	}
	for host, text := range map[string]string{
		"":                              "is empty",
		".":                             "is empty",
		"a..example":                    "a part that is empty",
		".example":                      "a part that is empty",
		"a b.example":                   `"a b.example" has a byte`,
		"a.example\x00":                 `"a.example\x00" has a byte`,
		"a/b":                           "has a byte",
		"b\u00fccher.example":           "is not ASCII",
		"\xff\xfe":                      "is not ASCII",
		"fe80::1%eth0":                  "has a zone",
		"127.1":                         "neither an address nor a name: if the IPv4 address is meant, write 127.0.0.1",
		"2130706433":                    "write 127.0.0.1",
		"127.0.0.01":                    "write 127.0.0.1",
		"0177.0.0.1":                    "write 127.0.0.1",
		"10.0.258.":                     "write 10.0.1.2",
		"0x7f.1":                        "write 127.0.0.1",
		"0X7F000001":                    "write 127.0.0.1",
		"a.0x7f":                        "neither an address nor a name",
		"4294967296":                    "neither an address nor a name",
		"08.1":                          "neither an address nor a name",
		"256.1.1.1":                     "neither an address nor a name",
		"1.2.3.4.":                      "neither an address nor a name",
		strings.Repeat("a", 64):         "longer than 63 bytes",
		strings.Repeat("a.", 127) + "a": "longer than 253",
		strings.Repeat("a", 1<<20):      "longer than 253",
	} {
		wantCode(t, r, host, code.HostUnreachable, text)
	}
	wantAsked(t, "addresses and invalid names", asked, 0, 0)
	wantAddrs(t, r, strings.Repeat("a.", 127), "2001:db8::1 192.0.2.1")
	wantAddrs(t, r, "_x.4chan-1.example.", "2001:db8::1 192.0.2.1")
	wantAsked(t, "names", asked, 2, 2)
}

// TestBoundOfAnswers checks that a million names do not exceed the cache's limit.
func TestBoundOfAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in fake time all answers arrive in time, so both families are cached
		r := newResolver([]upstream{&fake{answer: both}})
		defer r.Close()
		for i := range maxAnswers + 100 {
			if got, err := r.Lookup(t.Context(), "client", fmt.Sprintf("n%d.example", i)); err != nil || len(got) != 2 {
				t.Fatalf("lookup %d: %v, %v", i, got, err)
			}
		}
		if n := r.answers.Len(); n != maxAnswers {
			t.Errorf("%d answers are cached, want %d", n, maxAnswers)
		}
		if n := len(r.flights); n != 0 {
			t.Errorf("%d flights remain", n)
		}
	})
}

// TestBoundOfAddrs checks that an answer with thousands of addresses is truncated.
func TestBoundOfAddrs(t *testing.T) {
	r, _ := newFake(t, func(_ context.Context, q question) (answer, error) {
		if q.v6 {
			return answer{}, nil
		}
		return answer{addrs: addrs(strings.Repeat("192.0.2.1 ", 1000)), ttl: time.Minute}, nil
	})
	if got, err := r.Lookup(t.Context(), "client", "a.example"); err != nil || len(got) != maxAddrs {
		t.Errorf("Lookup = %d addresses, %v, want %d", len(got), err, maxAddrs)
	}
}

// TestAnswersAreCopies checks that callers may modify the returned slice.
func TestAnswersAreCopies(t *testing.T) {
	r, _ := newFake(t, both)
	got, err := r.Lookup(t.Context(), "client", "a.example")
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	wantAddrs(t, r, "a.example", "2001:db8::1 192.0.2.1")
}

// TestMapped checks that IPv4-mapped IPv6 addresses are unmapped.
func TestMapped(t *testing.T) {
	r, _ := newFake(t, func(_ context.Context, q question) (answer, error) {
		if q.v6 {
			return answer{addrs: addrs("::ffff:127.0.0.1"), ttl: time.Minute}, nil
		}
		return answer{}, errors.New("cannot")
	})
	wantAddrs(t, r, "a.example", "127.0.0.1")
}
