package trim

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTrimmer: memory is given back once much has become free, soon, seldom, and never
// when little has changed.
func TestTrimmer(t *testing.T) {
	const mb = 1 << 20
	type step struct {
		after       time.Duration
		conns       int // now served; ended is called
		bytes, peak int64
	}
	for name, tt := range map[string]struct {
		steps []step
		want  []time.Duration // when memory is given back
	}{
		"a few come and go":   {[]step{{0, 20, 0, mb}, {time.Second, 0, 0, mb}, {time.Minute, 0, 0, 0}}, nil},
		"many at once":        {[]step{{0, 100, 0, 0}, {time.Second, 0, 0, 0}}, []time.Duration{10 * time.Second}},
		"one with much":       {[]step{{0, 1, 100 * mb, 100 * mb}, {time.Minute, 0, 0, 0}}, []time.Duration{70 * time.Second}},
		"little by little":    {[]step{{0, 100, 0, 0}, {time.Minute, 90, 0, 0}, {time.Minute, 60, 0, 0}, {time.Minute, 40, 0, 0}}, []time.Duration{190 * time.Second}},
		"again and again":     {[]step{{0, 100, 0, 0}, {time.Second, 0, 0, 0}, {10 * time.Second, 100, 0, 0}, {time.Second, 0, 0, 0}}, []time.Duration{10 * time.Second, 30 * time.Second}},
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
				tr.Ended() // sets nothing
				if len(got) != len(tt.want) {
					t.Fatalf("given back at %v, want %v", got, tt.want)
				}
				for i, at := range got {
					if at != tt.want[i] {
						t.Errorf("given back at %v, want %v", got, tt.want)
					}
				}
			})
		})
	}
}
