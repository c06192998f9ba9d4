package resolve

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"tunnels/internal/code"
)

// The system's resolver returns no TTL, so its answers are cached only long enough for
// a page that requests the same name many times.
const (
	systemTTL         = 20 * time.Second
	systemNegativeTTL = 3 * time.Second
)

// system resolves names the way the system is configured, with its hosts file, servers
// and search domains. Package net implements all of that, and follows changes. Reading
// resolv.conf ourselves would provide the TTLs, but the rest would have to be
// reimplemented for every system.
type system struct {
	net.Resolver
	list string // the list's name in messages; immutable
}

func newSystem(list string) *system { return &system{list: cmp.Or(list, "the list of DNS servers")} }

// String returns the name used for the upstream in messages.
func (s *system) String() string { return "system resolver" }

func (s *system) close() {}

// lookup ignores patience, because the system's configuration has its own timeouts. ctx
// still limits it.
func (s *system) lookup(ctx context.Context, q question, _ time.Duration) (answer, error) {
	network := "ip4"
	if q.v6 {
		network = "ip6"
	}
	addrs, err := s.LookupNetIP(ctx, network, q.name)
	if err == nil {
		return answer{addrs: addrs, ttl: systemTTL}, nil
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok { // the name has no addresses of that family
		return answer{ttl: systemNegativeTTL}, nil
	}
	e, ok := errors.AsType[*net.DNSError](err)
	if !ok || !e.IsNotFound {
		return answer{}, err
	}
	text := "does not exist or has no address"
	if oddHyphen(q.name) {
		text = "does not exist, or was not queried because a part of it begins or ends with a hyphen (servers in " + s.list + " are queried)"
	}
	return answer{ttl: systemNegativeTTL, why: &code.Error{Code: code.HostUnreachable, Text: text}}, nil
}

// oddHyphen reports whether any part of name begins or ends with a hyphen. Some real
// names do, but on most systems package net rejects them without a query.
func oddHyphen(name string) bool {
	return strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") ||
		strings.Contains(name, ".-") || strings.Contains(name, "-.")
}
