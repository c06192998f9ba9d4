// Package rules reads what each client of an exit may reach and how much he may
// use. The file has a block for each client, by the name in his certificate:
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
//	[*]                                       # who has no other block
//	allow = private
//
// A client has one block: that of his name, else that of the longest *.name, else
// [*]. Upper case makes no difference in names. Lists are those of package policy;
// a list given twice is the sum of both. Of the lists deny wins; only restricts,
// and opens those addresses and networks in it that are denied by default as a
// whole; allow opens what is denied by default. A number that is 0 is no limit,
// one that is not given is whatever holds for all.
package rules

import (
	"errors"
	"fmt"
	"strings"

	"tunnels/internal/policy"
)

// Limit is how much of something a client may have.
type Limit struct {
	Max  int64  // 0: there is no limit
	Rule string // who says so, for messages: "sess.max.cnt of [laptop]"
}

// Limits are those of one client.
type Limits struct {
	Sessions Limit // at one time
	Opens    Limit // sessions opened per second
	Rate     Limit // bytes per second, each way
}

// Rule is one block. It is never changed once it has been parsed.
type Rule struct {
	Policy policy.Rules

	sessions, opens, rate *Limit // nil: not given
	line                  int    // where the block begins
	deniesAll             int    // line of a deny that has all; 0: none
	opensSome             bool   // has only or allow
}

// Limits is all with what r says instead. A nil Rule says nothing.
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

// Lists is what r says about targets; nil: nothing.
func (r *Rule) Lists() *policy.Rules {
	if r == nil {
		return nil
	}
	return &r.Policy
}

// Table is the blocks of one file. A nil Table has none. It may be used by any
// number of goroutines.
type Table struct {
	exact map[string]*Rule // by the name in lower case
	below map[string]*Rule // of *.name, by name
	other *Rule            // of *; nil: none
}

// For is the block of a client; nil: he has none. A client without a certificate
// has the empty name, which only [*] stands for.
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

// Fold is the name of a client as names are compared.
func Fold(client string) string { return strings.ToLower(client) }

// Len is how many blocks there are.
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

// place is where the block of that header goes: into m under key, or to other.
func (t *Table) place(header string) (m map[string]*Rule, key string, err error) {
	name := Fold(header)
	switch {
	case name == "":
		return nil, "", fmt.Errorf("[] names nobody: want the name in a client's certificate, as in [laptop], or [*] for all others")
	case len(name) > maxName:
		return nil, "", errors.New("the name in brackets is longer than any in a certificate")
	case name == "*":
		return nil, "*", nil
	}
	base, below := strings.CutPrefix(name, "*.")
	if base == "" || strings.ContainsAny(base, "*[]") || base[0] == '.' && below {
		return nil, "", fmt.Errorf("[%s]: a * stands alone or before the first dot, as in [*.team]", clip(header))
	}
	if below {
		return t.below, base, nil
	}
	return t.exact, base, nil
}
