package remux

import (
	"errors"
	"fmt"

	"tunnels/internal/code"
	"tunnels/remux/internal/conn"
)

// unservedMax limits one client's conns that have never had a session.
const unservedMax = 32

var (
	errClosing  = errors.New("the server is shutting down")
	errUnserved = errors.New("it had too many conns without a session, so the oldest was closed")
)

// shareOf returns how many conns one client may have if most is the maximum for all
// clients. It is three quarters of that, so that no client can lock the others out.
func shareOf(most int) int { return most - most/4 }

// room counts a listener's conns by client. Evicted conns stay in all until they have
// closed, but are not counted. SessionListener.mu guards it.
type room struct {
	all      map[*conn.Conn]struct{}
	byClient map[string]map[*conn.Conn]struct{} // counted conns only
	counted  int
}

func (r *room) add(c *conn.Conn) {
	r.all[c] = struct{}{}
	mine := r.byClient[c.Client()]
	if mine == nil {
		mine = map[*conn.Conn]struct{}{}
		r.byClient[c.Client()] = mine
	}
	mine[c] = struct{}{}
	r.counted++
}

// discount stops counting c, which is being evicted or has closed.
func (r *room) discount(c *conn.Conn) {
	mine := r.byClient[c.Client()]
	if _, ok := mine[c]; !ok {
		return
	}
	delete(mine, c)
	r.counted--
	if len(mine) == 0 {
		delete(r.byClient, c.Client())
	}
}

func (r *room) remove(c *conn.Conn) {
	r.discount(c)
	delete(r.all, c)
}

// unused returns the best of the client's conns to evict, or nil if there is none, and
// the number of its conns that have never had a session.
func (r *room) unused(client string, unservedOnly bool) (best *conn.Conn, unserved int) {
	var least conn.Standing
	for c := range r.byClient[client] {
		s, ok := c.Standing()
		if !ok {
			continue
		}
		if s.Unserved {
			unserved++
		} else if unservedOnly {
			continue
		}
		if best == nil || s.Unserved && !least.Unserved || s.Unserved == least.Unserved && s.Idle > least.Idle {
			best, least = c, s
		}
	}
	return best, unserved
}

// most returns the client with the most conns.
func (r *room) most() (client string) {
	for name, conns := range r.byClient {
		if len(conns) > len(r.byClient[client]) {
			client = name
		}
	}
	return client
}

// admitLocked makes room for a conn from the given client, or returns an error if there
// is none. The caller must evict the victim, if any, which is no longer counted; own
// reports whether it belongs to the same client.
func (l *SessionListener) admitLocked(client string) (victim *conn.Conn, own bool, err error) {
	r, most := &l.room, l.cfg.ConnMax
	n := len(r.byClient[client])
	oldest, unserved := r.unused(client, true)
	switch {
	case l.closing:
		return nil, false, errClosing
	case unserved >= unservedMax:
		victim, own = oldest, true
	case n >= shareOf(most):
		victim, own, err = oldest, true, fmt.Errorf("it holds %d of the %d conns that %s allows", n, most, l.cfg.connMaxName())
	case r.counted >= most:
		err = fmt.Errorf("all %d conns that %s allows are in use", most, l.cfg.connMaxName())
		if heavy := r.most(); len(r.byClient[heavy]) > n+1 {
			victim, _ = r.unused(heavy, false)
		}
		if victim == nil {
			victim, own = oldest, true
		}
	}
	if victim == nil {
		return nil, false, err
	}
	if !own && len(r.all) >= most+max(most/8, 1) {
		return nil, false, err // too many conns are already being evicted
	}
	r.discount(victim)
	return victim, own, nil
}

// evict closes a conn without sessions. If that makes room for a different client, the
// conn's own client is sent GOAWAY, so that sessions in flight can finish.
func (l *SessionListener) evict(c *conn.Conn, own bool) {
	if !own {
		c.GoAway(code.Overload, "the server has too many conns, and this one is unused")
		return
	}
	l.cfg.Hooks.refused(c.Client(), c.Remote(), errUnserved)
	c.Kill()
}
