package conn

import "fmt"

// ID identifies a conn or a session on it. Both ends use the same IDs.
type ID struct {
	Conn   uint32
	Number uint16 // number of the session, or 0 for the conn itself
}

// String returns the ID in the form used in logs: 8f7ed46a, or 8f7ed46a:1 for a session.
func (id ID) String() string {
	if id.Number == 0 {
		return fmt.Sprintf("%08x", id.Conn)
	}
	return fmt.Sprintf("%08x:%d", id.Conn, id.Number)
}
