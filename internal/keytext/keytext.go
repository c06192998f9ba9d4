// Package keytext recognizes keys, certificates and passwords in text, so that messages
// never repeat them. Users sometimes enter a key file, or its content, where something
// else is expected.
package keytext

import (
	"regexp"
	"strconv"
	"strings"
)

// IsPEM reports whether text contains a PEM block: a certificate, a key or anything
// else with the same header.
func IsPEM(text string) bool { return strings.Contains(text, "-----BEGIN") }

// Looks reports whether text may contain a key, as PEM or base64. A name or path that
// mixes letters and digits at random also matches, so use it to decide what to show,
// never what to accept.
func Looks(text string) bool {
	if IsPEM(text) {
		return true
	}
	var w window
	for i := range len(text) {
		switch k := kindOf(text[i]); {
		case k != other:
			w.add(k)
			if w.mixed() {
				return true
			}
		case w.length >= shortest && text[i] == '=' && w.kindsSeen() > 1 && padding(text[i:], w.length):
			return true
		default:
			w = window{}
		}
	}
	return false
}

// userinfo matches a user and password in front of a host.
var userinfo = regexp.MustCompile(`[^\s/@:,"]+:[^\s/@,"]*@`)

// Show returns text without passwords in front of hosts, or a placeholder if it looks
// like a key.
func Show(text string) string {
	if Looks(text) {
		return "(looks like a key, not shown)"
	}
	return userinfo.ReplaceAllString(text, "…@")
}

// Hide removes from text any passwords in front of hosts that occur in words, because
// errors from the system and from other packages repeat them.
func Hide(text string, words []string) string {
	for _, word := range words {
		for _, secret := range userinfo.FindAllString(word, -1) {
			text = strings.ReplaceAll(text, secret, "…@")
		}
	}
	return text
}

// Quote returns Show(text), quoted as if by %q.
func Quote(text string) string {
	if Looks(text) {
		return Show(text)
	}
	return strconv.Quote(Show(text))
}

const (
	size     = 24 // characters examined at a time
	changes  = 12 // out of 23 possible; random base64 has 15, words and paths have fewer than 8
	shortest = 6  // characters before padding
)

// kind classifies a base64 character.
type kind uint8

const (
	other kind = iota // not a base64 character
	upper
	lower
	digit
	sign
)

func kindOf(c byte) kind {
	switch {
	case 'A' <= c && c <= 'Z':
		return upper
	case 'a' <= c && c <= 'z':
		return lower
	case '0' <= c && c <= '9':
		return digit
	case c == '+' || c == '/':
		return sign
	}
	return other
}

// window holds the kinds of the latest characters in a base64 run.
type window struct {
	kinds  [size]kind
	length int // length of the run
}

func (w *window) add(k kind) {
	w.kinds[w.length%size] = k
	w.length++
}

// mixed reports whether the window looks random: it has upper case, lower case and
// digits in more than one place, and changes kind about as often as random text does.
func (w *window) mixed() bool {
	if w.length < size {
		return false
	}
	var runs [sign + 1]int // runs of each kind
	n := 0
	before := other
	for i := range size {
		k := w.kinds[(w.length+i)%size]
		if k != before {
			runs[k]++
			n++
		}
		before = k
	}
	return runs[upper] > 0 && runs[lower] > 0 && runs[digit] > 1 && n > changes
}

// kindsSeen returns how many kinds of characters the window holds.
func (w *window) kindsSeen() (n int) {
	var seen [sign + 1]bool
	for _, k := range w.kinds[:min(w.length, size)] {
		if !seen[k] {
			seen[k] = true
			n++
		}
	}
	return n
}

// padding reports whether rest is the padding at the end of a base64 line of n
// characters.
func padding(rest string, n int) bool {
	equals := len(rest) - len(strings.TrimLeft(rest, "="))
	end := rest[equals:]
	return (n+equals)%4 == 0 && equals <= 2 && (end == "" || strings.ContainsRune(" \t\r\n", rune(end[0])))
}
