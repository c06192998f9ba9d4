package policy

import (
	"net/netip"
	"slices"
)

// Rules holds the lists for one client, in addition to those for all clients.
type Rules struct {
	Who   string // the client's name in messages, such as "[laptop]"
	Only  *List  // if not nil, the only targets allowed
	Allow *List  // overrides the default denials
	Deny  *List  // never allowed
}

// For returns an Exit with the lists of e and one client's rules; r may be nil.
func (e *Exit) For(r *Rules) *Exit {
	return &Exit{Allow: e.Allow, Deny: e.Deny, Own: e.Own, client: r}
}

// nameRefused returns why the rules refuse a name before it is resolved, or "" if that
// is not certain yet.
func (r *Rules) nameRefused(host string, port uint16, own ownFunc) string {
	if r == nil {
		return ""
	}
	if rule, ok := r.Deny.matchName(host, port, own); ok {
		return r.denies(rule)
	}
	if r.Only != nil && !r.Only.MatchName(host, port) && !r.Only.hasAddrs(port) {
		return r.leavesOut()
	}
	return ""
}

// addrRefused returns why the rules refuse an address, or "" if they do not; via is the
// name that resolved to it, or empty.
func (r *Rules) addrRefused(a netip.AddrPort, via string, own ownFunc) string {
	if r == nil {
		return ""
	}
	if via != "" {
		if rule, ok := r.Deny.matchName(via, a.Port(), own); ok {
			return r.denies(rule)
		}
	}
	if rule, ok := r.Deny.matchAddr(a, own); ok {
		return r.denies(rule)
	}
	if r.Only != nil && !r.Only.match(a, via, own) {
		return r.leavesOut()
	}
	return ""
}

func (r *Rules) denies(rule string) string { return "the deny list of " + r.Who + " contains " + rule }
func (r *Rules) leavesOut() string         { return "not in the only list of " + r.Who }

// allow returns the list that overrides the default denials.
func (r *Rules) allow() *List {
	if r == nil {
		return nil
	}
	return r.Allow
}

// Join returns the entries of both lists.
func (l *List) Join(other *List) *List {
	joined := &List{}
	for _, from := range []*List{l, other} {
		if from != nil {
			joined.entries = append(joined.entries, from.entries...)
		}
	}
	return joined
}

// Inner returns the entries that have no effect unless they are also allowed: addresses
// and networks that are entirely denied by default.
func (l *List) Inner() *List {
	inner := &List{}
	if l == nil {
		return inner
	}
	for _, e := range l.entries {
		if len(e.prefixes) > 0 && !slices.ContainsFunc(e.prefixes, notDenied) {
			inner.entries = append(inner.entries, e)
		}
	}
	return inner
}

// notDenied reports whether p contains an address that is not denied by default.
func notDenied(p netip.Prefix) bool {
	for _, d := range denied {
		if d.prefix.Bits() <= p.Bits() && d.prefix.Contains(p.Addr()) {
			return false
		}
	}
	return true
}

// All reports whether an entry matches every target at every port.
func (l *List) All() bool {
	return l != nil && slices.ContainsFunc(l.entries, func(e entry) bool { return e.all && e.port == 0 })
}

// match reports whether an entry contains the address, or the name via unless it is
// empty.
func (l *List) match(a netip.AddrPort, via string, own ownFunc) bool {
	_, ok := l.matchAddr(a, own)
	return ok || via != "" && l.MatchName(via, a.Port())
}

// hasAddrs reports whether an address at that port could match.
func (l *List) hasAddrs(port uint16) bool {
	return slices.ContainsFunc(l.entries, func(e entry) bool {
		return e.atPort(port) && (e.all || len(e.prefixes) > 0)
	})
}
