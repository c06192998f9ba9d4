package authority

import "time"

// How long certificates are valid. 825 days is the longest validity that all systems
// accept for a server certificate.
const (
	caYears  = 10
	leafDays = 825
	skew     = time.Hour // certificates are backdated by this much, for clocks that are behind
)
