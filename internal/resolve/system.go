package resolve

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"tunnels/internal/code"
)

// What the system's resolver says comes without a time to live, so it is kept
// just long enough for a page that asks for one name many times.
const (
	systemTTL         = 20 * time.Second
	systemNegativeTTL = 3 * time.Second
)

// system asks as the system is configured: by its hosts file, its servers and
// its search domains. Package net reads all of that, and again when it changes,
// or asks those who do; reading resolv.conf ourselves would give the records' own
// time to live, and would have to do everything else again, on every system in
// its own way.
type system struct{ net.Resolver }

func newSystem() *system { return &system{} }

// String is who answers, for messages.
func (s *system) String() string { return "the system's resolver" }

func (s *system) close() {}

// lookup has patience of its own: the system's configuration says how long each
// of its servers is waited for. ctx bounds it.
func (s *system) lookup(ctx context.Context, q question, _ time.Duration) (answer, error) {
	network := "ip4"
	if q.v6 {
		network = "ip6"
	}
	addrs, err := s.LookupNetIP(ctx, network, q.name)
	if err == nil {
		return answer{addrs: addrs, ttl: systemTTL}, nil
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok { // it has none of that family
		return answer{ttl: systemNegativeTTL}, nil
	}
	e, ok := errors.AsType[*net.DNSError](err)
	if !ok || !e.IsNotFound {
		return answer{}, err
	}
	text := "does not exist or has no address"
	if oddHyphen(q.name) {
		text = "does not exist, or was not asked for because a part of it begins or ends with a hyphen (servers of -server.dns are asked)"
	}
	return answer{ttl: systemNegativeTTL, why: &code.Error{Code: code.HostUnreachable, Text: text}}, nil
}

// oddHyphen reports whether a part of name begins or ends with a hyphen. Some real
// names do; on most systems package net takes them for no names and asks nobody.
func oddHyphen(name string) bool {
	return strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") ||
		strings.Contains(name, ".-") || strings.Contains(name, "-.")
}
