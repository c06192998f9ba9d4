//go:build !linux

package testnet

import "testing"

// BlackHole returns an address that never answers. It works only on Linux; elsewhere
// the test is skipped.
func BlackHole(tb testing.TB) string {
	tb.Helper()
	return BlackHoleAt(tb, "")
}

// BlackHoleAt is BlackHole at a given loopback address.
func BlackHoleAt(tb testing.TB, _ string) string {
	tb.Helper()
	tb.Skip("cannot make a black hole on this system's loopback")
	return ""
}
