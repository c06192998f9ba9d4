package rules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"tunnels/internal/keytext"
	"tunnels/internal/lines"
	"tunnels/internal/policy"
	"tunnels/internal/typo"
)

const (
	maxName  = 256 // bytes; RFC 5280 allows 64 characters, RFC 1035 255 bytes
	maxCount = 1 << 24
	maxKB    = 1 << 30
	problems = 20 // a file with more than this is probably not a rules file
)

// keys lists the keys allowed in a block.
var keys = []string{"only", "allow", "deny", "sess.max.cnt", "open.max.sec", "rate.max.kb"}

// parser parses one file from its first line to its last.
type parser struct {
	name  string // file name
	num   int    // current line number
	table *Table
	block *Rule // nil before the first block
	bad   []error
}

// Parse parses the text of the file called name. The error joins all problems, each
// with file and line.
func Parse(text, name string) (*Table, error) {
	p := parser{name: name, table: &Table{exact: map[string]*Rule{}, below: map[string]*Rule{}}}
	for line := range strings.SplitSeq(text, "\n") {
		p.num++
		if err := p.line(strings.TrimSpace(line)); err != nil {
			p.wrong(p.num, err)
		}
		if len(p.bad) >= problems {
			p.bad = append(p.bad, fmt.Errorf("%s: too many errors: is it a rules file?", name))
			break
		}
	}
	p.endBlock()
	if len(p.bad) > 0 {
		return nil, errors.Join(p.bad...)
	}
	return p.table, nil
}

func (p *parser) wrong(line int, err error) {
	p.bad = append(p.bad, fmt.Errorf("%s:%d: %w", p.name, line, err))
}

func (p *parser) line(line string) error {
	if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
		return errors.New("is not text: is it a rules file?")
	}
	if strings.HasPrefix(line, "[") {
		p.endBlock()
		return p.begin(line)
	}
	key, value, err := lines.Parse(line, "allow = 10.1.0.0/16")
	switch {
	case err != nil || key == "":
		return err
	case !slices.Contains(keys, key): // not quoted, because the file could contain anything
		if near := typo.Nearest(key, keys); near != "" {
			return fmt.Errorf("is not valid inside a block: did you mean %s?", near)
		}
		return fmt.Errorf("is not valid inside a block: want %s or %s = VALUE", strings.Join(keys[:len(keys)-1], ", "), keys[len(keys)-1])
	case p.block == nil:
		return fmt.Errorf("%s comes before any block: start one with the client's name in brackets, as in [laptop]", key)
	}
	if err := p.block.set(key, value, p.num); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// begin starts a block with the given header.
func (p *parser) begin(line string) error {
	p.block = &Rule{line: p.num} // even if the header is invalid, so that the lines after it are checked
	name, rest, ok := strings.Cut(line[1:], "]")
	if !ok || lines.CutComment(rest) != "" {
		return errors.New("want the client's name in brackets and nothing else on the line, as in [laptop]")
	}
	name = strings.TrimSpace(name)
	p.block.Policy.Who = "[" + name + "]"
	m, key, err := p.table.place(name)
	if err != nil {
		return err
	}
	before := p.table.other
	if m != nil {
		before = m[key]
	}
	switch {
	case before != nil:
		return fmt.Errorf("[%s] is repeated; first on line %d", clip(name), before.line)
	case m != nil:
		m[key] = p.block
	default:
		p.table.other = p.block
	}
	return nil
}

// endBlock checks a whole block.
func (p *parser) endBlock() {
	b := p.block
	if b == nil {
		return
	}
	if b.deniesAll > 0 && b.opensSome {
		p.wrong(b.deniesAll, fmt.Errorf("deny: all overrides everything else in %s, so the client could reach nothing; to restrict it to a list, use only = LIST", b.Policy.Who))
	}
	if b.Policy.Only != nil { // these entries have no effect unless allowed, so the user must have meant to allow them
		b.Policy.Allow = b.Policy.Allow.Join(b.Policy.Only.Inner())
	}
}

// set stores the value from one line.
func (r *Rule) set(key, value string, line int) error {
	switch key {
	case "only", "allow", "deny":
		return r.setList(key, value, line)
	case "sess.max.cnt":
		return r.setLimit(&r.sessions, key, value, maxCount, 1)
	case "open.max.sec":
		return r.setLimit(&r.opens, key, value, maxCount, 1)
	default: // rate.max.kb
		return r.setLimit(&r.rate, key, value, maxKB, 1<<10)
	}
}

func (r *Rule) setList(key, value string, line int) error {
	list, err := policy.Parse(value)
	if err != nil {
		return err
	}
	if list.Empty() {
		return errors.New("is empty: want targets, as in *.example:443, 10.1.0.0/16; use deny = all to allow nothing")
	}
	p := &r.Policy
	switch key {
	case "only":
		p.Only = p.Only.Join(list)
	case "allow":
		p.Allow = p.Allow.Join(list)
	default:
		p.Deny = p.Deny.Join(list)
		if list.All() {
			r.deniesAll = line
		}
		return nil
	}
	r.opensSome = true
	return nil
}

// setLimit stores an integer up to most, multiplied by unit.
func (r *Rule) setLimit(dst **Limit, key, value string, most, unit int64) error {
	if *dst != nil {
		return fmt.Errorf("is repeated for %s", r.Policy.Who)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > most {
		return fmt.Errorf("%q: want a whole number from 1 to %d, or 0 for no limit", clip(value), most)
	}
	*dst = &Limit{Max: n * unit, Rule: key + " for " + r.Policy.Who}
	return nil
}

// clip shortens s for an error message and hides any key in it.
func clip(s string) string {
	const most = 60
	s = keytext.Show(s)
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
