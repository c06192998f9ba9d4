package remux

import (
	"testing"
	"time"
)

// TestBusyCount: by default, a conn with sessions takes up to eight times its count. A
// count that is set is exact.
func TestBusyCount(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want int // sessions on the first conn while one of them stays open
	}{
		{"by default", Config{}, 128},
		{"with a count", Config{ReuseMaxCount: 16}, 16},
		{"with another count", Config{ReuseMaxCount: 50}, 50},
		{"with an age", Config{ReuseMaxAge: time.Minute}, 128},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.cfg, func(t *testing.T, b *bubble) {
				kept, _ := b.open()
				defer kept.Close()
				kept.Write([]byte("a"))
				for i := 2; i <= tt.want+1; i++ {
					time.Sleep(50 * time.Millisecond) // the successor is ready in time
					on, waited := b.use()
					if waited != 0 {
						t.Errorf("session %d waited %s", i, waited)
					}
					if same := on == kept.ID().Conn; same != (i <= tt.want) {
						t.Errorf("session %d is on the first conn: %t", i, same)
					}
				}
			})
		})
	}
}

// TestBusyAge: by default, a conn with sessions takes more of them up to twice its age. An
// age that is set is exact.
func TestBusyAge(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want time.Duration
	}{
		{"by default", Config{}, 2 * time.Minute},
		{"with an age", Config{ReuseMaxAge: time.Minute}, time.Minute},
		{"with a count", Config{ReuseMaxCount: 1000}, 2 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.cfg, func(t *testing.T, b *bubble) {
				kept, _ := b.open()
				defer kept.Close()
				kept.Write([]byte("a"))
				for begin := time.Now(); time.Since(begin) < tt.want+20*time.Second; {
					time.Sleep(9 * time.Second) // no multiple of it is a limit
					on, waited := b.use()
					if waited != 0 {
						t.Errorf("after %v: waited %s", time.Since(begin), waited)
					}
					if same := on == kept.ID().Conn; same != (time.Since(begin) < tt.want) {
						t.Errorf("after %v: on the first conn: %t", time.Since(begin), same)
					}
				}
			})
		})
	}
}

// TestBusyUntilIdle: a conn past its count is closed when it has no sessions, and the
// next session finds another ready.
func TestBusyUntilIdle(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, b *bubble) {
		kept, _ := b.open()
		kept.Write([]byte("a"))
		first := kept.ID().Conn
		for range 40 {
			time.Sleep(50 * time.Millisecond)
			b.use()
		}
		kept.Close()
		time.Sleep(time.Second)
		if _, closed, lost := b.counts(); closed != 1 || lost != 0 {
			t.Errorf("%d conns closed, %d of them lost, want the first one closed", closed, lost)
		}
		if on, waited := b.use(); on == first || waited != 0 {
			t.Errorf("the next session is on conn %x after %s, want another than %x at once", on, waited, first)
		}
	})
}
