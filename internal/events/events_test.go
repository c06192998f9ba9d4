package events

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder returns Events whose hooks append their names to called.
func recorder(name string, called *[]string) *Events {
	e := new(Events)
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i).Name
		v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func([]reflect.Value) []reflect.Value {
			*called = append(*called, name+"."+field)
			return nil
		}))
	}
	return e
}

// TestJoin checks that each joined hook calls the same hook of every subscriber, in
// order, and that hooks without subscribers can be called.
func TestJoin(t *testing.T) {
	var called []string
	joined := reflect.ValueOf(Join(recorder("a", &called), nil, new(Events), recorder("b", &called))).Elem()
	empty := reflect.ValueOf(Join()).Elem()
	for i := range joined.NumField() {
		name := joined.Type().Field(i).Name
		if joined.Field(i).IsNil() || empty.Field(i).IsNil() {
			t.Fatalf("%s is nil", name)
		}
		var args []reflect.Value
		for j := range joined.Field(i).Type().NumIn() {
			args = append(args, reflect.Zero(joined.Field(i).Type().In(j)))
		}
		called = nil
		joined.Field(i).Call(args)
		empty.Field(i).Call(args)
		if got, want := strings.Join(called, " "), fmt.Sprintf("a.%s b.%s", name, name); got != want {
			t.Errorf("%s called %q, want %q", name, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var table Table
	e := table.Events()
	var all []*Request
	for i := range 5 {
		r := NewRequest("phone", fmt.Sprintf("%d.test:80", i))
		r.Down.Add(int64(i))
		e.RequestAccepted(r)
		all = append(all, r)
	}
	want := func(targets string) {
		t.Helper()
		var got []string
		for _, l := range table.All() {
			got = append(got, l.Target[:1])
			if l.ID == 0 || l.Client != "phone" || l.Down != int64(l.Target[0]-'0') {
				t.Errorf("entry %+v", l)
			}
		}
		if strings.Join(got, "") != targets || table.Len() != len(targets) {
			t.Errorf("the table has %v and Len %d, want %s", got, table.Len(), targets)
		}
	}
	want("01234")
	for _, i := range []int{2, 0, 4} { // remove from the middle, the front and the back
		e.RequestClosed(all[i], End{})
		e.RequestClosed(all[i], End{}) // a second call has no effect
	}
	want("13")
	e.RequestClosed(all[1], End{})
	e.RequestClosed(all[3], End{})
	want("")
}

// TestTableConcurrent adds, removes and lists requests concurrently.
func TestTableConcurrent(t *testing.T) {
	var table Table
	e := table.Events()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				r := NewRequest("", "a.test:80")
				e.RequestAccepted(r)
				r.Up.Add(1)
				r.Via("server.test:443")
				r.Answered()
				for _, l := range table.All() {
					if l.Target != "a.test:80" {
						t.Errorf("entry %+v", l)
					}
				}
				e.RequestClosed(r, End{})
			}
		})
	}
	wg.Wait()
	if table.Len() != 0 || len(table.All()) != 0 {
		t.Errorf("%d requests remain", table.Len())
	}
}

// TestTableMemory checks that 20 000 live sessions cost at most 300 bytes each.
func TestTableMemory(t *testing.T) {
	const sessions, most = 20_000, 300
	var table Table
	e := table.Events()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range sessions {
		e.RequestAccepted(NewRequest("phone", fmt.Sprintf("host-%d.example.com:443", i)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / sessions
	t.Logf("%.0f bytes each", each)
	if each > most {
		t.Errorf("%.0f bytes each, want at most %d", each, most)
	}
	start := time.Now()
	if n := len(table.All()); n != sessions {
		t.Errorf("the table lists %d of %d sessions", n, sessions)
	}
	t.Logf("listed in %s", time.Since(start))
	runtime.KeepAlive(&table)
}
