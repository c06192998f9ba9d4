// Package typo suggests corrections for misspelled names.
package typo

import (
	"slices"
	"strings"
)

const (
	longest = 64 // longer words are not names
	most    = 3  // maximum number of suggestions
)

// Nearest returns the known names that word is probably meant to be, joined with "or",
// or "" if it resembles none. It finds typos by edit distance, and names with missing
// parts (tls.cert) by the parts present. Case does not matter.
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

// holds reports whether some is a subsequence of all. A single part is not enough.
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

// distance returns how many characters of a must be inserted, deleted, replaced or
// swapped with a neighbor to get b (optimal string alignment).
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
