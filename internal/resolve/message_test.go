package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/internal/testnet"
)

func dnsName(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }

func header(owner string, ttl uint32) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: dnsName(owner), Class: dnsmessage.ClassINET, TTL: ttl}
}

func cname(owner string, ttl uint32, alias string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: header(owner, ttl), Body: &dnsmessage.CNAMEResource{CNAME: dnsName(alias)}}
}

func a4(owner string, ttl uint32, addr string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: header(owner, ttl), Body: &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()}}
}

// askA returns the question for the A records of a.example, as a message and parsed.
func askA(t testing.TB) (*message, dnsmessage.Question) {
	t.Helper()
	dq, err := question{"a.example", false}.dnsQuestion()
	if err != nil {
		t.Fatal(err)
	}
	b, err := query(nil, 7, dq)
	if err != nil {
		t.Fatal(err)
	}
	var q message
	if err := q.Unpack(b); err != nil {
		t.Fatal(err)
	}
	return &q, dq
}

func TestQuery(t *testing.T) {
	q, dq := askA(t)
	if q.ID != 7 || q.Response || !q.RecursionDesired || len(q.Questions) != 1 || q.Questions[0] != dq ||
		len(q.Additionals) != 1 || q.Additionals[0].Header.Class != udpSize {
		t.Errorf("query = %#v", q)
	}
}

// TestAliases tests which records are used, and for how long they are cached.
func TestAliases(t *testing.T) {
	var loop, long, many []dnsmessage.Resource
	for i := range 20 {
		loop = append(loop, cname("a.example.", 60, "b.example."), cname("b.example.", 60, "a.example."))
		owner := "a.example."
		if i > 0 {
			owner = fmt.Sprintf("n%d.example.", i)
		}
		long = append(long, cname(owner, 60, fmt.Sprintf("n%d.example.", i+1)))
	}
	long = append(long, a4("n20.example.", 60, "192.0.2.1"))
	for range maxRecords + 1 {
		many = append(many, a4("a.example.", 60, "192.0.2.1"))
	}
	tests := []struct {
		name    string
		records []dnsmessage.Resource
		addrs   string
		ttl     time.Duration
		err     string
	}{
		{"plain", []dnsmessage.Resource{a4("a.example.", 60, "192.0.2.1"), a4("A.EXAMPLE.", 50, "192.0.2.2")}, "192.0.2.1 192.0.2.2", 50 * time.Second, ""},
		{"for a different name", []dnsmessage.Resource{a4("b.example.", 60, "192.0.2.66")}, "", 0, ""},
		{"alias", []dnsmessage.Resource{cname("a.example.", 9, "b.example."), a4("b.example.", 60, "192.0.2.1")}, "192.0.2.1", 9 * time.Second, ""},
		{"alias, in reverse order", []dnsmessage.Resource{a4("b.example.", 60, "192.0.2.1"), cname("a.example.", 600, "b.example.")}, "192.0.2.1", time.Minute, ""},
		{"alias next to an unrelated record", []dnsmessage.Resource{cname("a.example.", 60, "b.example."), a4("c.example.", 60, "192.0.2.66")}, "", 0, ""},
		{"two hops", []dnsmessage.Resource{cname("a.example.", 60, "b.example."), cname("b.example.", 60, "c.example."), a4("c.example.", 60, "192.0.2.1")}, "192.0.2.1", time.Minute, ""},
		{"circle", loop, "", 0, "the chain of aliases is longer than 16"},
		{"too many hops", long, "", 0, "chain of aliases is longer than 16"},
		{"too many records", many, "", 0, "more than 256 records"},
		{"sign bit of the TTL", []dnsmessage.Resource{a4("a.example.", 1<<31, "192.0.2.1")}, "192.0.2.1", 0, ""},
		{"nothing", nil, "", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, dq := askA(t)
			m := testnet.DNSAnswer(q, 0)
			m.Answers = tt.records
			b, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			a, err := parseAnswer(b, 7, dq)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("parseAnswer = %v, want it to say: %s", err, tt.err)
				}
				return
			}
			if err != nil || !slices.Equal(a.addrs, addrs(tt.addrs)) || a.ttl != tt.ttl {
				t.Errorf("parseAnswer = %v for %v, %v, want %s for %v", a.addrs, a.ttl, err, tt.addrs, tt.ttl)
			}
		})
	}
}

// TestMalformed tests answers that are truncated at any point, and addresses of the
// wrong length.
func TestMalformed(t *testing.T) {
	q, dq := askA(t)
	m := testnet.DNSAnswer(q, 60)
	m.Answers = []dnsmessage.Resource{cname("a.example.", 60, "b.example."), a4("b.example.", 60, "192.0.2.1")}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseAnswer(b, 7, dq); err != nil {
		t.Fatal(err)
	}
	for n := range len(b) {
		if a, err := parseAnswer(b[:n], 7, dq); err == nil {
			t.Errorf("cut to %d of %d bytes: %v, want an error", n, len(b), a.addrs)
		}
	}
	for _, size := range []byte{0, 3, 5, 16} {
		bad := slices.Clone(b)
		bad = append(bad, make([]byte, 16)...)
		bad[len(b)-5] = size // low byte of the length field that precedes the address
		if a, err := parseAnswer(bad, 7, dq); err == nil {
			t.Errorf("address of %d bytes: %v, want an error", size, a.addrs)
		}
	}
}

func TestRCode(t *testing.T) {
	for rc, want := range map[dnsmessage.RCode]string{
		dnsmessage.RCodeServerFailure: "answered SERVFAIL", dnsmessage.RCodeRefused: "answered REFUSED",
		dnsmessage.RCodeFormatError: "answered FORMERR", dnsmessage.RCodeNotImplemented: "answered NOTIMP", 9: "answered with code 9",
	} {
		q, dq := askA(t)
		m := testnet.DNSAnswer(q, 0)
		m.RCode = rc
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseAnswer(b, 7, dq)
		if e, ok := errors.AsType[*rcodeError](err); !ok || e.Error() != want {
			t.Errorf("code %d: %v, want %s", rc, err, want)
		}
	}
}

// FuzzAnswer checks that parsing arbitrary bytes from a server yields only addresses of
// the requested family.
func FuzzAnswer(f *testing.F) {
	q, dq := askA(f)
	for _, recs := range [][]dnsmessage.Resource{
		nil,
		{a4("a.example.", 60, "192.0.2.1")},
		{cname("a.example.", 60, "b.example."), a4("b.example.", 1<<31, "192.0.2.1")},
		{cname("a.example.", 60, "a.example.")},
	} {
		m := testnet.DNSAnswer(q, 0)
		m.Answers = recs
		m.Authorities = []dnsmessage.Resource{{Header: header("example.", 5),
			Body: &dnsmessage.SOAResource{NS: dnsName("ns.example."), MBox: dnsName("m.example."), MinTTL: 60}}}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	f.Add([]byte{0, 7, 0x80, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0x0c, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, msg []byte) {
		a, err := parseAnswer(msg, 7, dq)
		if err != nil {
			if len(a.addrs) != 0 || a.why != nil {
				t.Fatalf("parseAnswer = %v and %v", a, err)
			}
			return
		}
		if len(a.addrs) > maxAddrs || a.ttl < 0 || len(a.addrs) > 0 && a.why != nil {
			t.Fatalf("parseAnswer = %+v", a)
		}
		for _, addr := range a.addrs {
			if !addr.Is4() {
				t.Fatalf("parseAnswer has %s, but IPv4 was requested", addr)
			}
		}
		if _, err := parseAnswer(msg, 8, dq); !errors.Is(err, errForeign) {
			t.Fatalf("with a different id: %v, want it foreign", err)
		}
	})
}
