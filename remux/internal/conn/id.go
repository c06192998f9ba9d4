package conn

import "fmt"

// ID names a conn, or a session on it. Both ends know it by the same numbers.
type ID struct {
	Conn   uint32
	Number uint16 // of the session; 0 if it is the conn that is named
}

// String returns the ID as the log shows it: 8f7ed46a, or 8f7ed46a:1 for a session.
func (id ID) String() string {
	if id.Number == 0 {
		return fmt.Sprintf("%08x", id.Conn)
	}
	return fmt.Sprintf("%08x:%d", id.Conn, id.Number)
}
