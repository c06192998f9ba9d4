//go:build !linux

package testnet

import "testing"

// BlackHole is an address that never answers. Only Linux is known to make one
// on loopback; elsewhere the test is skipped.
func BlackHole(tb testing.TB) string {
	tb.Helper()
	return BlackHoleAt(tb, "")
}

// BlackHoleAt is a BlackHole at a loopback address of the caller's choice.
func BlackHoleAt(tb testing.TB, _ string) string {
	tb.Helper()
	tb.Skip("no black hole can be made on this system's loopback")
	return ""
}
