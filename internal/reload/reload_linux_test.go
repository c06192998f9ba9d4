package reload

import "testing"

// TestUnreadableIsNotRead checks that the info of an unreadable file is not relied on:
// a change of mode or owner makes the file readable without changing its size or time.
func TestUnreadableIsNotRead(t *testing.T) {
	const path = "/proc/self/mem" // its first page is unreadable
	if _, info, err := Read(path, "test"); err == nil || info != nil {
		t.Errorf("Read of %s = %v, %v, want only an error", path, info, err)
	}
}
