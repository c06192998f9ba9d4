package remux

import (
	"tunnels/remux/internal/conn"
)

// This file exports internals to the tests in package remux_test.

// Protocol is the ALPN name.
const Protocol = conn.Protocol

// Conns returns the number of conns in the pool.
func Conns(p *Pool) int { return p.count() }

// Unused reports whether everything taken from the budget has been returned.
func Unused(b *Budget) bool {
	waiting, _, granted := b.Usage()
	return waiting == 0 && granted == 0
}

// waiting returns how many bytes are buffered for applications.
func waiting(b *Budget) int64 {
	waiting, _, _ := b.Usage()
	return waiting
}
