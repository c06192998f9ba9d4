package reload

import "testing"

// TestUnreadableIsNotRead: a file made readable by a change of mode or owner keeps its
// size and time, so the info of an unreadable file proves nothing.
func TestUnreadableIsNotRead(t *testing.T) {
	const path = "/proc/self/mem" // its first page is unreadable
	if _, info, err := Read(path, "test"); err == nil || info != nil {
		t.Errorf("Read of %s = %v, %v, want only an error", path, info, err)
	}
}
