// Package rules reads per-client rules for an exit: which targets a client may reach,
// and its limits. The file has a block for each client, by certificate name:
//
//	[laptop]
//	only  = *.corp.example:443, 10.1.0.0/16   # only these targets
//	deny  = 10.1.9.0/24                       # but not these
//	sess.max.cnt = 100                        # concurrent sessions
//	open.max.sec = 50                         # new sessions per second
//	rate.max.kb  = 10240                      # KiB per second, each way
//
//	[*.family]                                # names below .family
//	deny  = all:25
//
//	[*]                                       # everyone else
//	allow = private
//
// A client has one block: the one with its name, else the longest matching *.name, else
// [*]. Names are case-insensitive. Lists have the syntax of package policy; repeated
// lists accumulate. "deny" takes precedence. "only" restricts the client to the targets
// listed, but also allows any listed addresses and networks that are entirely denied by
// default. "allow" overrides the default denials. 0 means no limit; unset limits default
// to the flags.
package rules

import (
	"errors"
	"fmt"
	"strings"

	"tunnels/internal/policy"
)

// Limit is one limit for a client.
type Limit struct {
	Max  int64  // 0 means no limit
	Rule string // the setting's name in messages, such as "sess.max.cnt for [laptop]"
}

// Limits holds the limits for one client.
type Limits struct {
	Sessions Limit // concurrent sessions
	Opens    Limit // sessions opened per second
	Rate     Limit // bytes per second, each way
}

// Rule is one block. It is immutable once parsed.
type Rule struct {
	Policy policy.Rules

	sessions, opens, rate *Limit // nil if unset
	line                  int    // first line of the block
	deniesAll             int    // line of a deny list that contains "all", or 0
	opensSome             bool   // only or allow is set
}

// Limits returns the limits in all, overridden by those that r sets. r may be nil.
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

// Lists returns r's lists, or nil if it has none.
func (r *Rule) Lists() *policy.Rules {
	if r == nil {
		return nil
	}
	return &r.Policy
}

// Table holds the blocks of one file. A nil Table has none. It is safe for concurrent
// use.
type Table struct {
	exact map[string]*Rule // by lower-case name
	below map[string]*Rule // blocks for *.name, by name
	other *Rule            // block for *, or nil
}

// For returns a client's block, or nil if it has none. A client without a certificate
// has the empty name, which only [*] matches.
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

// Fold returns a client's name in the form used for comparison.
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

// place returns where to store the block with the given header: in m under key, or in
// other if m is nil.
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
