//go:build !linux

package testnet

import "testing"

// BlackHole is an address that never answers. Only Linux is known to make one
// on loopback; elsewhere the test is skipped.
func BlackHole(tb testing.TB) string {
	tb.Helper()
	tb.Skip("no black hole can be made on this system's loopback")
	return ""
}
