package backlog

import (
	"errors"
	"net"
	"testing"

	"tunnels/internal/code"
)

// session is a minimal Session for a Queue.
type session struct {
	net.Conn
	done chan struct{}
}

func (s *session) Done() <-chan struct{}         { return s.done }
func (s *session) Reset(code.Code, string) error { return nil }

func queuedSession() *session { return &session{done: make(chan struct{})} }

// One client fills the queue; others still get in, at its expense, up to equal shares.
func TestQueueShares(t *testing.T) {
	q := NewQueue()
	of := map[Session]string{}
	put := func(client string) (refused Session) {
		t.Helper()
		s := queuedSession()
		of[s] = client
		refused, ended := q.Put(s, client)
		if ended != nil {
			t.Fatal("Put reported a session as ended")
		}
		if refused == s {
			return s
		}
		return refused
	}
	for i := range Max {
		if put("greedy") != nil {
			t.Fatalf("session %d is refused", i)
		}
	}
	if s := put("greedy"); s == nil || of[s] != "greedy" {
		t.Error("the queue exceeds its limit")
	}
	for i := range 350 {
		for _, c := range []string{"small", "smaller"}[:1+i%2] {
			if s := put(c); of[s] == c {
				t.Fatalf("client %s is refused although few of its sessions are queued", c)
			}
		}
	}
	n := map[string]int{}
	for q.all.Len() > 0 {
		s, err := q.Take()
		if err != nil {
			t.Fatal(err)
		}
		n[of[s.(Session)]]++
	}
	if n["greedy"]+n["small"]+n["smaller"] != Max || n["small"] != 350 || n["smaller"] != 175 {
		t.Errorf("accepted %v from a queue of %d", n, Max)
	}
	if len(q.of)+len(q.byClient)+q.ended.Len() != 0 {
		t.Error("an empty queue still has entries")
	}
}

// Ended sessions are dropped before any session is refused, whether they ended before
// being queued or afterwards.
func TestQueueEnded(t *testing.T) {
	q := NewQueue()
	for i := range Max {
		s := queuedSession()
		if i%2 == 0 {
			close(s.done)
		}
		q.Put(s, "a")
		if i%2 == 1 && i < Max/2 {
			close(s.done)
			q.NoteEnd(s)
			q.NoteEnd(s)
		}
	}
	dropped := 0
	for {
		s := queuedSession()
		refused, ended := q.Put(s, "a")
		if refused == s {
			break
		}
		if ended == nil {
			t.Fatal("Put on a full queue dropped no session")
		}
		dropped++
	}
	if want := Max/2 + Max/4; dropped != want {
		t.Errorf("%d ended sessions were dropped, want %d", dropped, want)
	}
	q.Finish(net.ErrClosed)
	for range Max {
		if _, err := q.Take(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.Take(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Take on a finished queue: %v", err)
	}
}
