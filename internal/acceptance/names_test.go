//go:build unix

package acceptance

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/internal/testnet"
)

// serveNames starts a name server that resolves only the given names, to 127.0.0.1.
func serveNames(t testing.TB, names ...string) *testnet.DNS {
	t.Helper()
	return testnet.NewDNS(t, func(query *dnsmessage.Message, _ bool) []*dnsmessage.Message {
		q := query.Questions[0]
		var addrs []netip.Addr
		known := slices.Contains(names, strings.TrimSuffix(strings.ToLower(q.Name.String()), "."))
		if known && q.Type == dnsmessage.TypeA {
			addrs = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		answer := testnet.DNSAnswer(query, 60, addrs...)
		if !known {
			answer.RCode = dnsmessage.RCodeNameError
		}
		return []*dnsmessage.Message{answer}
	})
}
