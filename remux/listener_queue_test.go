package remux

import (
	"errors"
	"net"
	"testing"
)

// queuedSession is a session that may be put in an acceptQueue.
func queuedSession() *session { return &session{done: make(chan struct{})} }

// One client fills the queue; others still get in, at its cost, up to equal shares.
func TestQueueShares(t *testing.T) {
	q := newAcceptQueue()
	of := map[*session]string{}
	put := func(client string) (refused *session) {
		t.Helper()
		s := queuedSession()
		of[s] = client
		refused, ended := q.put(s, client)
		if ended != nil {
			t.Fatal("a session is said to have ended")
		}
		if refused == s {
			return s
		}
		return refused
	}
	for i := range backlog {
		if put("greedy") != nil {
			t.Fatalf("session %d is refused", i)
		}
	}
	if s := put("greedy"); s == nil || of[s] != "greedy" {
		t.Error("the queue holds more than its backlog")
	}
	for i := range 350 {
		for _, c := range []string{"small", "smaller"}[:1+i%2] {
			if s := put(c); of[s] == c {
				t.Fatalf("client %s is refused though it has few waiting", c)
			}
		}
	}
	n := map[string]int{}
	for q.all.Len() > 0 {
		s, err := q.take()
		if err != nil {
			t.Fatal(err)
		}
		n[of[s.(*session)]]++
	}
	if n["greedy"]+n["small"]+n["smaller"] != backlog || n["small"] != 350 || n["smaller"] != 175 {
		t.Errorf("accepted %v of %d places", n, backlog)
	}
	if len(q.of)+len(q.byClient)+q.ended.Len() != 0 {
		t.Error("something is left of an empty queue")
	}
}

// What has ended gives way before anything is refused, whether it ended before it
// was put there or while it waited.
func TestQueueEnded(t *testing.T) {
	q := newAcceptQueue()
	for i := range backlog {
		s := queuedSession()
		if i%2 == 0 {
			close(s.done)
		}
		q.put(s, "a")
		if i%2 == 1 && i < backlog/2 {
			close(s.done)
			q.noteEnd(s)
			q.noteEnd(s)
		}
	}
	gave := 0
	for {
		s := queuedSession()
		refused, ended := q.put(s, "a")
		if refused == s {
			break
		}
		if ended == nil {
			t.Fatal("put beyond the backlog, and nothing gave way")
		}
		gave++
	}
	if want := backlog/2 + backlog/4; gave != want {
		t.Errorf("%d gave way, want %d", gave, want)
	}
	q.finish(net.ErrClosed)
	for range backlog {
		if _, err := q.take(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.take(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("take of a closed queue: %v", err)
	}
}
