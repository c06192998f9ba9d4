package recent

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func wantValue(t *testing.T, m *Map[string, int], k string, want int) {
	t.Helper()
	if v, ok := m.Get(k); !ok || v != want {
		t.Errorf("Get(%s) = %d, %v, want %d, true", k, v, ok, want)
	}
}

func wantNone(t *testing.T, m *Map[string, int], k string) {
	t.Helper()
	if v, ok := m.Get(k); ok {
		t.Errorf("Get(%s) = %d, want no value", k, v)
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New[string, int](10)
		m.Put("a", 1, time.Second)
		m.Put("b", 2, 2*time.Second)
		time.Sleep(time.Second - 1)
		wantValue(t, m, "a", 1)
		time.Sleep(time.Nanosecond)
		wantNone(t, m, "a")
		wantValue(t, m, "b", 2)
		m.Put("b", 3, time.Second) // the new duration starts now
		time.Sleep(time.Second)
		wantNone(t, m, "b")
		if m.Len() != 0 {
			t.Errorf("Len = %d after every value has expired and been requested, want 0", m.Len())
		}
	})
}

func TestBound(t *testing.T) {
	m := New[string, int](3)
	for i, k := range []string{"a", "b", "c"} {
		m.Put(k, i, time.Hour)
	}
	wantValue(t, m, "a", 0) // marks a as used, so that b is the oldest
	m.Put("d", 3, time.Hour)
	wantNone(t, m, "b")
	wantValue(t, m, "a", 0)
	m.Put("d", 4, time.Hour) // replacing a value needs no more room
	wantValue(t, m, "c", 2)
	wantValue(t, m, "d", 4)
	m.Delete("d")
	m.Delete("nobody")
	wantNone(t, m, "d")
	for i := range 1000 {
		m.Put(strconv.Itoa(i), i, time.Hour)
	}
	if m.Len() != 3 || len(m.byKey) != 3 {
		t.Errorf("Len = %d, %d keys, want 3", m.Len(), len(m.byKey))
	}
}

// TestExpiredMakesRoom checks that expired values are removed even if never requested
// again.
func TestExpiredMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New[string, int](1000)
		for i := range 100 {
			m.Put(strconv.Itoa(i), i, time.Second)
		}
		time.Sleep(time.Second)
		for i := range 60 {
			m.Put("new"+strconv.Itoa(i), i, time.Hour)
		}
		if m.Len() != 60 {
			t.Errorf("Len = %d, want the 60 that have not expired", m.Len())
		}
	})
}

func TestConcurrent(t *testing.T) {
	m := New[int, int](50)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				m.Put(i%100, g, time.Hour)
				if v, ok := m.Get(i % 70); ok && (v < 0 || v > 3) {
					t.Errorf("Get = %d, which was never put", v)
				}
				m.Delete(i % 30)
			}
		})
	}
	wg.Wait()
	if n := m.Len(); n > 50 || n != len(m.byKey) {
		t.Errorf("Len = %d with %d keys, want the same and at most 50", n, len(m.byKey))
	}
}
