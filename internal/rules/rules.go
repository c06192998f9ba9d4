// Package rules reads which targets each client of an exit may reach and its limits.
// The file has a block for each client, by certificate name:
//
//	[laptop]
//	only  = *.corp.example:443, 10.1.0.0/16   # nothing but these
//	deny  = 10.1.9.0/24                       # and not these
//	sess.max.cnt = 100                        # sessions at one time
//	open.max.sec = 50                         # opened per second
//	rate.max.kb  = 10240                      # KiB per second, each way
//
//	[*.family]                                # names below .family
//	deny  = all:25
//
//	[*]                                       # everyone else
//	allow = private
//
// A client has one block: that of its name, else that of the longest matching *.name,
// else [*]. Names are case-insensitive. Lists are those of package policy; repeated
// lists accumulate. Deny wins; only restricts, and also allows those of its addresses
// and networks that are denied by default as a whole; allow permits what is denied by
// default. 0 means no limit; unset limits default to the flags.
// one that is not given is whatever holds for all.
package rules

import (
	"errors"
	"fmt"
	"strings"

	"tunnels/internal/policy"
)

// Limit is one limit of a client.
type Limit struct {
	Max  int64  // 0 means no limit
	Rule string // its source, for messages: "sess.max.cnt of [laptop]"
}

// Limits are the limits of one client.
type Limits struct {
	Sessions Limit // concurrent
	Opens    Limit // sessions opened per second
	Rate     Limit // bytes per second, each way
}

// Rule is one block. It never changes once parsed.
type Rule struct {
	Policy policy.Rules

	sessions, opens, rate *Limit // nil if unset
	line                  int    // first line of the block
	deniesAll             int    // line of a deny with all, or 0
	opensSome             bool   // has only or allow
}

// Limits returns all, overridden by the limits set in r. r may be nil.
func (r *Rule) Limits(all Limits) Limits {
	if r == nil {
		return all
	}
	for _, l := range []struct{ own, all *Limit }{{r.sessions, &all.Sessions}, {r.opens, &all.Opens}, {r.rate, &all.Rate}} {
		if l.own != nil {
			*l.all = *l.own
		}
	}
	return all
}

// Lists returns the lists of r, or nil if it has none.
func (r *Rule) Lists() *policy.Rules {
	if r == nil {
		return nil
	}
	return &r.Policy
}

// Table holds the blocks of one file. A nil Table has none. It may be used
// concurrently.
type Table struct {
	exact map[string]*Rule // by the name in lower case
	below map[string]*Rule // of *.name, by name
	other *Rule            // of *, or nil
}

// For returns the block of a client, or nil if it has none. A client without a
// certificate has the empty name, which only [*] matches.
func (t *Table) For(client string) *Rule {
	if t == nil {
		return nil
	}
	name := Fold(client)
	if name == "" {
		return t.other
	}
	if r := t.exact[name]; r != nil {
		return r
	}
	for {
		_, above, ok := strings.Cut(name, ".")
		if !ok {
			return t.other
		}
		if r := t.below[above]; r != nil {
			return r
		}
		name = above
	}
}

// Fold returns a client's name in the form used for comparisons.
func Fold(client string) string { return strings.ToLower(client) }

// Len returns the number of blocks.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	n := len(t.exact) + len(t.below)
	if t.other != nil {
		n++
	}
	return n
}

// place returns where to store the block of a header: in m under key, or in other.
func (t *Table) place(header string) (m map[string]*Rule, key string, err error) {
	name := Fold(header)
	switch {
	case name == "":
		return nil, "", fmt.Errorf("[] has no name: want the name in a client's certificate, as in [laptop], or [*] for all others")
	case len(name) > maxName:
		return nil, "", errors.New("the name in brackets is too long for a certificate name")
	case name == "*":
		return nil, "*", nil
	}
	base, below := strings.CutPrefix(name, "*.")
	if base == "" || strings.ContainsAny(base, "*[]") || base[0] == '.' && below {
		return nil, "", fmt.Errorf("[%s]: a * must be alone or before the first dot, as in [*.team]", clip(header))
	}
	if below {
		return t.below, base, nil
	}
	return t.exact, base, nil
}
