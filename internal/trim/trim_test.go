package trim

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTrimmer checks that memory is returned soon after a lot is freed, not too often,
// and never after small changes.
func TestTrimmer(t *testing.T) {
	const mb = 1 << 20
	type step struct {
		after       time.Duration
		conns       int // number served from now on
		bytes, peak int64
	}
	for name, tt := range map[string]struct {
		steps []step
		want  []time.Duration // when memory must be returned
	}{
		"a few come and go":   {[]step{{0, 20, 0, mb}, {time.Second, 0, 0, mb}, {time.Minute, 0, 0, 0}}, nil},
		"many at once":        {[]step{{0, 100, 0, 0}, {time.Second, 0, 0, 0}}, []time.Duration{10 * time.Second}},
		"one holding a lot":   {[]step{{0, 1, 100 * mb, 100 * mb}, {time.Minute, 0, 0, 0}}, []time.Duration{70 * time.Second}},
		"little by little":    {[]step{{0, 100, 0, 0}, {time.Minute, 90, 0, 0}, {time.Minute, 60, 0, 0}, {time.Minute, 40, 0, 0}}, []time.Duration{190 * time.Second}},
		"repeatedly":          {[]step{{0, 100, 0, 0}, {time.Second, 0, 0, 0}, {10 * time.Second, 100, 0, 0}, {time.Second, 0, 0, 0}}, []time.Duration{10 * time.Second, 30 * time.Second}},
		"half of many remain": {[]step{{0, 100, 0, 0}, {time.Second, 60, 0, 0}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now atomic.Pointer[step]
				var got []time.Duration
				start := time.Now()
				tr := &Trimmer{
					conns: func() int { return now.Load().conns },
					bytes: func() (int64, int64) { return now.Load().bytes, now.Load().peak },
					trim: func() bool {
						got = append(got, time.Since(start))
						return true
					},
				}
				for _, s := range tt.steps {
					time.Sleep(s.after)
					synctest.Wait()
					now.Store(&s)
					tr.Began(s.conns)
					tr.Ended()
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				tr.Close()
				tr.Ended() // sets no timer
				if len(got) != len(tt.want) {
					t.Fatalf("memory was returned at %v, want %v", got, tt.want)
				}
				for i, at := range got {
					if at != tt.want[i] {
						t.Errorf("memory was returned at %v, want %v", got, tt.want)
					}
				}
			})
		})
	}
}
