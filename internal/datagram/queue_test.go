package datagram

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// drain returns the data of all records in q.
func drain(t *testing.T, q *queue) (all []string) {
	t.Helper()
	b := getBuffer()
	defer putBuffer(b)
	for n := q.take(b); n > 0; n = q.take(b) {
		r := recordReader{from: bytes.NewReader(b[:n])}
		for {
			record, err := r.next()
			if err != nil {
				break
			}
			d, err := parseRecord(record)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(d.data))
		}
	}
	return all
}

func TestQueueDropsOldest(t *testing.T) {
	target := mustTarget(t, "192.0.2.1:53")
	for _, size := range []int{10, 1400, 30_000, 60_000} {
		q := newQueue()
		fits := queueMax / (2 + 10 + size)
		total := 4*fits + 3
		for i := range total {
			q.put(target, fmt.Appendf(nil, "%*d", size, i))
			if len(q.buf)-q.head > queueMax || cap(q.buf) > 2*queueMax {
				t.Fatalf("%d bytes wait in %d, want at most %d in %d", len(q.buf)-q.head, cap(q.buf), queueMax, 2*queueMax)
			}
		}
		got := drain(t, q)
		if len(got) != fits || q.drops() != uint64(total-fits) {
			t.Errorf("%d bytes each: %d left and %d dropped, want %d left of %d", size, len(got), q.drops(), fits, total)
		}
		for i, s := range got {
			if want := fmt.Sprintf("%*d", size, total-len(got)+i); s != want {
				t.Fatalf("%d bytes each: record %d is %q, want %q: the newest, in order", size, i, strings.TrimSpace(s), strings.TrimSpace(want))
			}
		}
		if q.buf != nil {
			t.Errorf("an empty queue holds on to %d bytes", cap(q.buf))
		}
	}
}

// TestQueueInAndOut: records are returned in order and intact, for any pattern of put and
// take.
func TestQueueInAndOut(t *testing.T) {
	q := newQueue()
	target := mustTarget(t, "dns.example:53")
	in, out := 0, 0
	for round := range 400 {
		for range round % 25 {
			q.put(target, fmt.Appendf(nil, "%*d", 1+(in*7919)%4000, in))
			in++
		}
		for range round % 3 {
			b := getBuffer()
			r := recordReader{from: bytes.NewReader(b[:q.take(b)])}
			for record, err := r.next(); err == nil; record, err = r.next() {
				d, _ := parseRecord(record)
				if got := strings.TrimSpace(string(d.data)); got != fmt.Sprint(out) {
					t.Fatalf("record %d is %s", out, got)
				}
				out++
			}
			putBuffer(b)
		}
	}
	if out += len(drain(t, q)); out != in || q.drops() > 0 {
		t.Errorf("%d records taken and %d dropped, want a total of %d", out, q.drops(), in)
	}
}

func TestQueueRejectsOversized(t *testing.T) {
	q := newQueue()
	q.put(mustTarget(t, "192.0.2.1:53"), make([]byte, recordMax-10))
	q.put(mustTarget(t, "192.0.2.1:53"), make([]byte, recordMax-9))
	q.put(mustTarget(t, "[2001:db8::1]:53"), make([]byte, recordMax-10))
	if got := drain(t, q); len(got) != 1 || q.drops() != 2 {
		t.Errorf("%d records, %d dropped; want the one that fits", len(got), q.drops())
	}
}

func TestQueueEnd(t *testing.T) {
	q := newQueue()
	target := mustTarget(t, "192.0.2.1:53")
	q.put(target, []byte("before"))
	q.end()
	q.put(target, []byte("after"))
	if !q.wait() {
		t.Error("wait = false although a record is queued")
	}
	if got := drain(t, q); len(got) != 1 || got[0] != "before" {
		t.Errorf("took %q, want the record put before the end", got)
	}
	if q.wait() {
		t.Error("wait = true after the end")
	}
}
