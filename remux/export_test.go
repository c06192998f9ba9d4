package remux

import (
	"tunnels/remux/internal/conn"
)

// For the tests in package remux_test.

// Protocol is the ALPN name.
const Protocol = conn.Protocol

// Conns returns how many conns the pool has.
func Conns(p *Pool) int { return p.count() }

// Unused reports whether all that was taken from the budget was given back.
func Unused(b *Budget) bool {
	waiting, _, granted := b.Usage()
	return waiting == 0 && granted == 0
}

// waiting returns how many bytes wait for applications.
func waiting(b *Budget) int64 {
	waiting, _, _ := b.Usage()
	return waiting
}
