// Package keytext recognizes the text of keys, certificates and passwords, so that a
// message never repeats it. People give a key's file, or what is in it, where
// something else was expected.
package keytext

import (
	"regexp"
	"strconv"
	"strings"
)

// IsPEM reports whether text holds a block in PEM form: a certificate, a key, or
// whatever else begins like that.
func IsPEM(text string) bool { return strings.Contains(text, "-----BEGIN") }

// Looks reports whether text may hold a key: in PEM form, or as base64. A name or
// path that mixes letters and digits without any pattern is taken for one, too, so
// it decides what is shown and never what is accepted.
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

// Show returns text without passwords in front of hosts, or says that it is not
// shown.
func Show(text string) string {
	if Looks(text) {
		return "(looks like a key, not shown)"
	}
	return userinfo.ReplaceAllString(text, "…@")
}

// Hide returns text without the passwords in front of hosts that the words hold, which
// the system's and other packages' errors repeat.
func Hide(text string, words []string) string {
	for _, word := range words {
		for _, secret := range userinfo.FindAllString(word, -1) {
			text = strings.ReplaceAll(text, secret, "…@")
		}
	}
	return text
}

// Quote is Show in quotes, as %q makes them.
func Quote(text string) string {
	if Looks(text) {
		return Show(text)
	}
	return strconv.Quote(Show(text))
}

const (
	size     = 24 // characters looked at together
	changes  = 12 // of 23; random base64 has 15, words and paths have fewer than 8
	shortest = 6  // characters before padding
)

// kind is the kind of a character of base64.
type kind uint8

const (
	other kind = iota // not of base64
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

// window is the kinds of the last characters of a run of base64.
type window struct {
	kinds  [size]kind
	length int // of the run
}

func (w *window) add(k kind) {
	w.kinds[w.length%size] = k
	w.length++
}

// mixed reports whether the window looks random: upper case, lower case and digits
// in more than one place, changing about as often as in random text.
func (w *window) mixed() bool {
	if w.length < size {
		return false
	}
	var runs [sign + 1]int // of characters of one kind
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

// padding reports whether rest is the padding at the end of a line of base64 that
// has had n characters.
func padding(rest string, n int) bool {
	equals := len(rest) - len(strings.TrimLeft(rest, "="))
	end := rest[equals:]
	return (n+equals)%4 == 0 && equals <= 2 && (end == "" || strings.ContainsRune(" \t\r\n", rune(end[0])))
}
