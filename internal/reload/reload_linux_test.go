package reload

import "testing"

// TestUnreadableIsNotRead: a file that becomes readable by a change of mode or owner
// keeps its size and time, so the info of a file that could not be read proves nothing.
func TestUnreadableIsNotRead(t *testing.T) {
	const path = "/proc/self/mem" // its first page is unreadable
	if _, info, err := Read(path, "test"); err == nil || info != nil {
		t.Errorf("Read of %s = %v, %v, want an error alone", path, info, err)
	}
}
