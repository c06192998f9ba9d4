package splice

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"tunnels/internal/code"
)

// ender is an in-memory Ender. Read returns strings sent on say, then EOF once say is
// closed. Each Write takes pace or, if pace is negative, blocks until the end is
// closed.
type ender struct {
	net.Conn // nil, so no other method may be called
	say      chan string
	pace     time.Duration
	onEnd    func(error, bool)
	over     chan struct{} // closed by Reset and Close
	late     chan struct{} // closed by SetReadDeadline
	resets   []code.Code
	got      int
	finished bool
}

func newEnder() *ender {
	return &ender{say: make(chan string, 64), over: make(chan struct{}), late: make(chan struct{})}
}

func (e *ender) OnEnd(f func(error, bool)) bool { e.onEnd = f; return true }

func (e *ender) Read(p []byte) (int, error) {
	select {
	case s, ok := <-e.say:
		if !ok {
			return 0, io.EOF
		}
		return copy(p, s), nil
	case <-e.late:
		return 0, os.ErrDeadlineExceeded
	case <-e.over:
		return 0, net.ErrClosed
	}
}

func (e *ender) Write(p []byte) (int, error) {
	var done <-chan time.Time
	if e.pace >= 0 {
		done = time.After(e.pace)
	}
	select {
	case <-done:
		e.got += len(p)
		return len(p), nil
	case <-e.over:
		return 0, net.ErrClosed
	}
}

func (e *ender) CloseWrite() error { e.finished = true; return nil }

func (e *ender) end() {
	select {
	case <-e.over:
	default:
		close(e.over)
	}
}

func (e *ender) Close() error { e.end(); return nil }

func (e *ender) Reset(c code.Code, _ string) error {
	e.resets = append(e.resets, c)
	e.end()
	return nil
}

func (e *ender) SetReadDeadline(t time.Time) error {
	select {
	case <-e.late:
	default:
		if t.Before(time.Now()) {
			close(e.late)
		}
	}
	return nil
}

var errLost = errors.New("conn lost")

// TestEnded checks that data from an end that is then lost is delivered as long as the
// other end accepts it.
func TestEnded(t *testing.T) {
	atExit := [2]code.Code{code.Cancelled, code.TargetReset} // the lost end is the client's
	atClient := [2]code.Code{code.General, code.Cancelled}   // the lost end is the server's
	reset := &code.Error{Code: code.TargetReset, Remote: true}
	for name, tt := range map[string]struct {
		why   [2]code.Code
		err   error
		whole bool
		says  int           // number of 10-byte pieces sent by the lost end
		pace  time.Duration // how long the other end takes for each piece; negative means forever
		ends  bool          // the lost end had already sent end of file
		took  time.Duration // time until the join ends; 0 means never
		got   int
		clean bool
	}{
		"stalled":              {why: atExit, err: errLost, says: 9, pace: -1, took: stallMax},
		"stalled, whole":       {why: atExit, err: errLost, says: 9, pace: -1, whole: true, ends: true, took: stallMax},
		"silent":               {why: atExit, err: errLost, whole: true, ends: true, took: stallMax},
		"slow":                 {why: atExit, err: errLost, says: 30, pace: time.Second, took: lostMax, got: 90},
		"slow, whole":          {why: atExit, err: errLost, says: 30, pace: time.Second, whole: true, ends: true, took: 30*time.Second + stallMax, got: 300},
		"clean, stalled":       {why: atExit, says: 1, pace: -1, whole: true, ends: true, took: orphanMax},
		"clean, slow":          {why: atExit, says: 3, pace: 50 * time.Second, whole: true, ends: true, took: 150 * time.Second, got: 30, clean: true},
		"clean, silent":        {why: atExit, whole: true, ends: true, took: 1, clean: true},
		"reset":                {why: atExit, err: &code.Error{Code: code.Cancelled}, says: 9, pace: -1, took: 1},
		"reset after its end":  {why: atExit, err: &code.Error{Code: code.Cancelled}, whole: true, ends: true, says: 2, pace: time.Second, took: 2*time.Second + stallMax, got: 20},
		"a target's code":      {why: atExit, err: reset, says: 9, pace: -1, took: stallMax},
		"application stalled":  {why: atClient, err: errLost, says: 9, pace: -1, took: stallMax},
		"application pauses":   {why: atClient, err: reset, says: 9, pace: -1},
		"pauses, conn lost":    {why: atClient, err: errLost, says: 9, pace: -1, whole: true, ends: true},
		"pauses after the end": {why: atClient, says: 9, pace: -1, whole: true, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newEnder(), newEnder()
				b.pace = tt.pace
				for range tt.says {
					a.say <- "0123456789"
				}
				if tt.ends {
					close(a.say)
				}
				result := make(chan Result, 1)
				go func() { result <- Both(a, b, tt.why[0], tt.why[1]) }()
				synctest.Wait()
				start := time.Now()
				a.onEnd(tt.err, tt.whole)
				if tt.took == 0 {
					time.Sleep(time.Hour)
					synctest.Wait()
					if len(result) > 0 {
						t.Errorf("the join ended: %+v", <-result)
					}
					Abort(a, code.GoingAway, "")
					Abort(b, code.GoingAway, "")
					<-result
					return
				}
				r := <-result
				if took := time.Since(start); took < tt.took-time.Second || took > tt.took+stallMax { // progress made during one check may be noticed only by the next
					t.Errorf("ended after %v, want %v", took, tt.took)
				}
				if clean := r.Err == nil; clean != tt.clean || clean != (len(b.resets) == 0) {
					t.Errorf("Both = %+v with resets %v", r, b.resets)
				}
				if b.got < tt.got || b.finished != (tt.ends && tt.pace >= 0) {
					t.Errorf("the other end got %d bytes (end of file: %v), want %d", b.got, b.finished, tt.got)
				}
			})
		})
	}
}
