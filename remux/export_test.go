package remux

// For the tests in package remux_test.

// Protocol is the ALPN name.
const Protocol = protocol

// Conns returns how many conns the pool has.
func Conns(p *Pool) int { return p.count() }

// Unused reports whether all that was taken from the budget was given back.
func Unused(b *Budget) bool { return b.waiting.Load() == 0 && b.granted.Load() == 0 }
