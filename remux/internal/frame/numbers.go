package frame

// Numbers is the set of session numbers that the peer has opened; none is used twice. Its
// owner does the locking.
type Numbers struct {
	bits []uint64
	Last uint16 // highest number in the set
}

// Has reports whether n is in the set.
func (s *Numbers) Has(n uint16) bool {
	i := int(n >> 6)
	return i < len(s.bits) && s.bits[i]&(1<<(n&63)) != 0
}

// Add adds n to the set.
func (s *Numbers) Add(n uint16) {
	i := int(n >> 6)
	if i >= len(s.bits) {
		grown := make([]uint64, min(max(i+1, 2*len(s.bits)), 1<<10))
		copy(grown, s.bits)
		s.bits = grown
	}
	s.bits[i] |= 1 << (n & 63)
	s.Last = max(s.Last, n)
}
