package tunnel

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"tunnels/internal/code"
)

// TestTargetError checks that system errors on the target's connection get code
// TargetReset.
func TestTargetError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want code.Code
		ok   bool
	}{
		{syscall.ECONNRESET, code.TargetReset, true},
		{syscall.ETIMEDOUT, code.TargetReset, true},
		{errors.New("read: odd"), code.TargetReset, true},
		{fmt.Errorf("wrapped: %w", &code.Error{Code: code.General}), code.General, true},
		{net.ErrClosed, 0, false},
		{nil, 0, false},
	} {
		if got, ok := code.Of(targetError(tt.err)); got != tt.want || ok != tt.ok {
			t.Errorf("%v: code %v %v, want %v %v", tt.err, got, ok, tt.want, tt.ok)
		}
	}
}
