package httpdoor

import (
	"container/list"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/door"
)

// authorised returns nil if r may be served, or else the reason why not. A password is
// checked again even if it was correct for an earlier request, because the user may
// have been removed in the meantime.
func (w *Conn) authorised(r *request) error {
	if w.front.users == nil {
		return nil
	}
	header := r.get("Proxy-Authorization")
	if header == "" {
		return errNoPassword
	}
	if header == w.wrongHeader {
		return w.wrongErr
	}
	err := w.check(header)
	if why, _ := code.Of(err); why == code.NotAuthorised {
		w.front.reject(w.Conn, err)
		w.wrongHeader, w.wrongErr = header, err
	}
	return err
}

// refuseUser returns the page for a request refused because of err.
func (w *Conn) refuseUser(err error) *page {
	w.refusals++
	p := authPage()
	if why, ok := code.Of(err); ok && why != code.NotAuthorised {
		p = plainPage(http.StatusServiceUnavailable, "Too many passwords are being checked. Try again in a moment.")
	}
	p.close = w.refusals >= refusalsMax
	return p
}

func (f *Door) reject(c net.Conn, err error) {
	if f.rejected != nil {
		f.rejected(appconn.Remote(c), err)
	}
}

var errNoPassword = errors.New("no name and password in a recognized format")

// check checks the name and password in a header (RFC 7617).
func (w *Conn) check(header string) error {
	scheme, rest, _ := strings.Cut(header, " ")
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	name, password, ok := strings.Cut(string(decoded), ":")
	if !strings.EqualFold(scheme, "Basic") || err != nil || !ok {
		return errNoPassword
	}
	return w.front.users.Check(w.Conn.RemoteAddr(), name, password)
}

// unauthenticated holds the connections that have been handed over but have not sent a
// correct password. It limits their number, which the listener no longer does.
type unauthenticated struct {
	max int // immutable

	mu   sync.Mutex
	list list.List // guarded by mu; *Conn elements, oldest first
}

// add adds w. If there are too many, it removes and returns the oldest, which the
// caller must close.
func (s *unauthenticated) add(w *Conn) (out *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list.Len() >= s.max {
		out = s.list.Front().Value.(*Conn)
		s.removeLocked(out)
	}
	w.listed = s.list.PushBack(w)
	return out
}

// remove removes w from the list if present.
func (s *unauthenticated) remove(w *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(w)
}

func (s *unauthenticated) removeLocked(w *Conn) {
	if w.listed != nil {
		s.list.Remove(w.listed)
		w.listed = nil
	}
}

// countUnauthenticated counts w as unauthenticated until it is removed.
func (w *Conn) countUnauthenticated() {
	if out := w.front.unauthenticated.add(w); out != nil {
		out.abort(code.Overload)
		w.front.reject(out, door.ErrCrowded)
	}
}
