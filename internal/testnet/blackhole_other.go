//go:build !linux

package testnet

import "testing"

// BlackHole returns an address that never answers. It works only on Linux and skips the
// test elsewhere.
func BlackHole(tb testing.TB) string {
	tb.Helper()
	return BlackHoleAt(tb, "")
}

// BlackHoleAt is like BlackHole, at a given loopback address.
func BlackHoleAt(tb testing.TB, _ string) string {
	tb.Helper()
	tb.Skip("cannot create a black hole on this system's loopback")
	return ""
}
