package lossy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOrder(t *testing.T) {
	var got strings.Builder // owned by the writer until Close
	q := New(1<<20, func(line []byte) { got.Write(line) }, nil)
	line := []byte("a")
	for i := range 100 {
		line[0] = 'a' + byte(i%26) // the Queue must copy it
		if !q.Put(line) {
			t.Fatal("Put = false, want true: there is room")
		}
		if i == 49 {
			q.Do(func() { got.WriteByte('|') })
		}
	}
	if !q.Close(time.Minute) {
		t.Fatal("Close = false, want true")
	}
	want := ""
	for i := range 100 {
		want += string(rune('a' + i%26))
		if i == 49 {
			want += "|"
		}
	}
	if got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
	if q.Put(line) || q.Do(func() {}) {
		t.Error("a closed Queue accepts more")
	}
}

// TestStuckWriter checks that nothing blocks on a stuck writer, and that lines that do
// not fit are counted, with the count logged in their place.
func TestStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		say := func(s string) { mu.Lock(); got = append(got, s); mu.Unlock() }
		release := make(chan struct{})
		q := New(3*(1+overhead),
			func(line []byte) { <-release; say(string(line)) },
			func(n int) { say(fmt.Sprint("lost ", n)) })
		q.Put([]byte("1"))
		synctest.Wait() // the writer has taken the line
		for i, want := range []bool{true, true, true, false, false} {
			if took := q.Put(fmt.Append(nil, 2+i)); took != want {
				t.Errorf("Put %d = %v, want %v", 2+i, took, want)
			}
		}
		begin := time.Now()
		if q.Flush(time.Second) {
			t.Error("Flush = true while the writer is stuck")
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("Flush took %v, want its limit", d)
		}
		close(release)
		synctest.Wait()
		q.Put([]byte("7"))
		if !q.Flush(time.Second) {
			t.Error("Flush = false although the writer is making progress")
		}
		if want := "[1 2 3 4 lost 2 7]"; fmt.Sprint(got) != want {
			t.Errorf("got %v, want %v", got, want)
		}
		q.Close(0)
	})
}

func TestCloseDoesNotWaitForStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		q := New(1<<10, func([]byte) { <-release }, nil)
		q.Put([]byte("1"))
		if q.Close(time.Second) || q.Flush(time.Second) {
			t.Error("Close = true while the writer is stuck")
		}
		close(release)
		if !q.Close(time.Second) {
			t.Error("Close = false although the writer has exited")
		}
	})
}

func TestManyCallers(t *testing.T) {
	n := 0 // owned by the writer until Close
	q := New(1<<20, func([]byte) { n++ }, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				q.Put([]byte("x"))
			}
		})
	}
	wg.Wait()
	q.Close(time.Minute)
	if n != 4000 {
		t.Errorf("%d lines were written, want 4000", n)
	}
}

// TestLossAfterLastLine checks that a line dropped while the writer holds all the
// others is also counted.
func TestLossAfterLastLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := 0 // owned by the writer until Close
		release := make(chan struct{})
		q := New(1<<10, func([]byte) { <-release }, func(n int) { lost += n })
		q.Put([]byte("1"))
		synctest.Wait() // the writer has taken the line
		if q.Put(make([]byte, 2<<10)) {
			t.Error("Put of a line larger than the queue = true")
		}
		close(release)
		q.Close(time.Minute)
		if lost != 1 {
			t.Errorf("%d lines are reported lost, want 1", lost)
		}
	})
}
