//go:build !linux

package testnet

import "testing"

// BlackHole returns an address that never responds. It works only on Linux; elsewhere
// it skips the test.
func BlackHole(tb testing.TB) string {
	tb.Helper()
	return BlackHoleAt(tb, "")
}

// BlackHoleAt is like BlackHole but uses the given loopback address.
func BlackHoleAt(tb testing.TB, _ string) string {
	tb.Helper()
	tb.Skip("cannot create a black hole on this system's loopback")
	return ""
}
