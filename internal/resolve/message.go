package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/internal/code"
)

const (
	// udpSize is the maximum size of an answer over UDP, small enough to avoid
	// fragmentation.
	udpSize = 1232
	// maxHops limits the length of a CNAME chain.
	maxHops = 16
	// maxRecords limits the number of records read from an answer.
	maxRecords = 256
)

var (
	// errForeign means that the message does not answer the question.
	errForeign   = errors.New("the answer is to a different question")
	errTruncated = errors.New("the answer is truncated")
)

// rcodeError is the error for an upstream that answered with a failure code.
type rcodeError struct{ text string }

// Error implements error.
func (e *rcodeError) Error() string { return "answered " + e.text }

// newRcodeError returns the error for a code, using names administrators know, such as
// SERVFAIL.
func newRcodeError(rc dnsmessage.RCode) error {
	switch rc {
	case dnsmessage.RCodeServerFailure:
		return &rcodeError{"SERVFAIL"}
	case dnsmessage.RCodeRefused:
		return &rcodeError{"REFUSED"}
	case dnsmessage.RCodeFormatError:
		return &rcodeError{"FORMERR"}
	case dnsmessage.RCodeNotImplemented:
		return &rcodeError{"NOTIMP"}
	}
	return &rcodeError{fmt.Sprintf("with code %d", rc)}
}

// dnsQuestion returns q in wire form.
func (q question) dnsQuestion() (dnsmessage.Question, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(q.name, ".") + ".")
	if err != nil {
		return dnsmessage.Question{}, fmt.Errorf("name %s: %w", q.name, err)
	}
	dq := dnsmessage.Question{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	if q.v6 {
		dq.Type = dnsmessage.TypeAAAA
	}
	return dq, nil
}

// query appends a message with the question dq to b.
func query(b []byte, id uint16, dq dnsmessage.Question) ([]byte, error) {
	var edns dnsmessage.ResourceHeader
	if err := edns.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, fmt.Errorf("building a query: %w", err)
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{dq},
		Additionals: []dnsmessage.Resource{{Header: edns, Body: &dnsmessage.OPTResource{}}},
	}
	b, err := m.AppendPack(b)
	if err != nil {
		return nil, fmt.Errorf("building a query: %w", err)
	}
	return b, nil
}

// parseAnswer parses the answer to dq with the given id. The error is errForeign,
// errTruncated, an *rcodeError, or describes a malformed message.
func parseAnswer(msg []byte, id uint16, dq dnsmessage.Question) (answer, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || !h.Response || h.ID != id || h.OpCode != 0 {
		return answer{}, errForeign
	}
	got, err := p.Question()
	if err != nil || got.Type != dq.Type || got.Class != dq.Class || !sameName(got.Name, dq.Name) {
		return answer{}, errForeign
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return answer{}, errForeign
	}
	switch {
	case h.Truncated:
		return answer{}, errTruncated
	case h.RCode != dnsmessage.RCodeSuccess && h.RCode != dnsmessage.RCodeNameError:
		return answer{}, newRcodeError(h.RCode)
	}
	recs, err := readRecords(&p, dq.Type)
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	a, err := recs.follow(dq.Name)
	if err != nil || len(a.addrs) > 0 {
		return a, err
	}
	if h.RCode == dnsmessage.RCodeSuccess && !h.Authoritative && !h.RecursionAvailable {
		return answer{}, &rcodeError{"with a referral to other servers"} // RFC 1034 section 4.3.1
	}
	a.ttl = negativeTTL(&p)
	if h.RCode == dnsmessage.RCodeNameError {
		a.why = &code.Error{Code: code.HostUnreachable, Text: "does not exist"}
	}
	return a, nil
}

// record is an address or a CNAME.
type record struct {
	owner dnsmessage.Name
	ttl   uint32
	alias dnsmessage.Name // for a CNAME
	addr  netip.Addr      // invalid for a CNAME
}

type records []record

// readRecords reads the answer section of a message, keeping only addresses of type
// want.
func readRecords(p *dnsmessage.Parser, want dnsmessage.Type) (records, error) {
	var recs records
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return recs, nil
		}
		if err != nil {
			return nil, err
		}
		rec := record{owner: h.Name, ttl: h.TTL}
		switch {
		case h.Class != dnsmessage.ClassINET || h.Type != want && h.Type != dnsmessage.TypeCNAME:
			err = p.SkipAnswer()
		case h.Type == dnsmessage.TypeCNAME:
			var r dnsmessage.CNAMEResource
			r, err = p.CNAMEResource()
			rec.alias = r.CNAME
			recs = append(recs, rec)
		case h.Type == dnsmessage.TypeA && h.Length == 4:
			var r dnsmessage.AResource
			r, err = p.AResource()
			rec.addr = netip.AddrFrom4(r.A)
			recs = append(recs, rec)
		case h.Type == dnsmessage.TypeAAAA && h.Length == 16:
			var r dnsmessage.AAAAResource
			r, err = p.AAAAResource()
			rec.addr = netip.AddrFrom16(r.AAAA)
			recs = append(recs, rec)
		default:
			err = fmt.Errorf("a %d-byte address", h.Length)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("it has more than %d records", maxRecords)
}

// follow returns the addresses of name, following aliases. An alias without a target
// has none; records for other names are ignored.
func (recs records) follow(name dnsmessage.Name) (answer, error) {
	a := answer{ttl: maxTTL}
	for range maxHops + 1 {
		var next *record
		for i := range recs {
			rec := &recs[i]
			if !sameName(rec.owner, name) {
				continue
			}
			if !rec.addr.IsValid() {
				next = rec
				continue
			}
			if len(a.addrs) < maxAddrs {
				a.addrs = append(a.addrs, rec.addr)
			}
			a.ttl = min(a.ttl, lifetime(rec.ttl))
		}
		if next == nil || len(a.addrs) > 0 {
			return a, nil
		}
		a.ttl = min(a.ttl, lifetime(next.ttl))
		name = next.alias
	}
	return answer{}, fmt.Errorf("the chain of aliases is longer than %d", maxHops)
}

// negativeTTL returns how long a negative answer is valid (RFC 2308 section 5), or 0 if
// the message does not say.
func negativeTTL(p *dnsmessage.Parser) time.Duration {
	if err := p.SkipAllAnswers(); err != nil {
		return 0
	}
	for range maxRecords {
		h, err := p.AuthorityHeader()
		if err != nil {
			return 0
		}
		if h.Type != dnsmessage.TypeSOA {
			if err := p.SkipAuthority(); err != nil {
				return 0
			}
			continue
		}
		soa, err := p.SOAResource()
		if err != nil {
			return 0
		}
		return min(lifetime(h.TTL), lifetime(soa.MinTTL))
	}
	return 0
}

// lifetime converts a TTL, which counts as 0 if its top bit is set (RFC 2181 section
// 8).
func lifetime(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// sameName compares names case-insensitively. Names from the wire are not escaped.
func sameName(a, b dnsmessage.Name) bool {
	return strings.EqualFold(string(a.Data[:a.Length]), string(b.Data[:b.Length]))
}
