// Package typo finds what somebody meant who misspelled a name.
package typo

import (
	"slices"
	"strings"
)

const (
	longest = 64 // a word that is longer is no name
	most    = 3  // proposals
)

// Nearest returns the known names that word is likely a misspelling of, joined
// with "or", or "" if it resembles none of them. A slip of the finger is found by
// its edit distance, a name with a part left out (tls.cert) by its other parts.
// Upper and lower case are the same.
func Nearest(word string, known []string) string {
	if word == "" || len(word) > longest {
		return ""
	}
	word = strings.ToLower(word)
	best, least := "", 2+len(word)/5
	for _, k := range known {
		if d := distance(word, strings.ToLower(k)); d < least && d < len(k) {
			best, least = k, d
		}
	}
	if best != "" {
		return best
	}
	var longer []string
	for _, k := range known {
		if holds(parts(strings.ToLower(k)), parts(word)) {
			longer = append(longer, k)
		}
	}
	if len(longer) > most {
		return ""
	}
	return strings.Join(longer, " or ")
}

func parts(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '_' })
}

// holds reports whether all of some stand in all, in their order. One part alone
// says too little.
func holds(all, some []string) bool {
	if len(some) < 2 {
		return false
	}
	for _, s := range some {
		i := slices.Index(all, s)
		if i < 0 {
			return false
		}
		all = all[i+1:]
	}
	return true
}

// distance returns how many characters of a have to be added, removed, changed or
// swapped with their neighbor to get b (optimal string alignment).
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
