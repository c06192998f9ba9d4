package splice

import (
	"io"
	"testing"
	"time"

	"tunnels/internal/code"
)

// TestSlowTargetIsNotStalled checks that a target reading slowly gets all the data,
// although the kernel accepts more only once much of its buffer is free. It runs in
// real time because it depends on the kernel's buffers.
func TestSlowTargetIsNotStalled(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	if err := near.SetWriteBuffer(256 << 10); err != nil {
		t.Fatal(err)
	}
	if err := far.SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	const pieces = 64
	a := newEnder()
	for range pieces {
		a.say <- string(make([]byte, 16<<10))
	}
	close(a.say)
	result := make(chan Result, 1)
	go func() { result <- Both(a, near, code.Cancelled, code.TargetReset) }()
	got, slow := 0, time.Now().Add(3*stallMax)
	b := make([]byte, 4<<10) // read every 100 ms, or less often on a busy machine
	lost := false
	for {
		n, err := far.Read(b)
		if got += n; err == io.EOF {
			break
		} else if err != nil {
			t.Errorf("after %d of %d bytes: %v", got, pieces<<14, err)
			break
		}
		if !lost {
			lost = true
			a.onEnd(errLost, true)
		}
		if time.Now().Before(slow) {
			time.Sleep(100 * time.Millisecond)
		}
	}
	if got != pieces<<14 {
		t.Errorf("the target got %d bytes, want %d", got, pieces<<14)
	}
	far.Close()
	<-result
}
