package eagersocks

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

// authorised is why r may not be served; nil: it may. A password that was right for
// an earlier request is checked again, because its user may have been removed since.
func (w *web) authorised(r *webRequest) error {
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
		w.front.reject(w.conn, err)
		w.wrongHeader, w.wrongErr = header, err
	}
	return err
}

// refuseUser is the page for who may not be served because of err.
func (w *web) refuseUser(err error) *page {
	w.refusals++
	p := authPage()
	if why, ok := code.Of(err); ok && why != code.NotAuthorised {
		p = plainPage(http.StatusServiceUnavailable, "Too many passwords are being looked at. Try again in a moment.")
	}
	p.close = w.refusals >= webRefusals
	return p
}

func (f *webFront) reject(c net.Conn, err error) {
	if f.rejected != nil {
		f.rejected(appconn.Remote(c), err)
	}
}

var errNoPassword = errors.New("no name and password in a form that is known")

// check asks for the name and the password of a header (RFC 7617).
func (w *web) check(header string) error {
	scheme, rest, _ := strings.Cut(header, " ")
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	name, password, ok := strings.Cut(string(decoded), ":")
	if !strings.EqualFold(scheme, "Basic") || err != nil || !ok {
		return errNoPassword
	}
	return w.front.users.Check(w.conn.RemoteAddr(), name, password)
}

// strangers are connections whose first request was taken and which have not had
// the right password. They are no longer the listener's to push out, and must not
// be as many as somebody likes.
type strangers struct {
	max int // static

	mu   sync.Mutex
	list list.List // guarded by mu; of *web, oldest first
}

// add takes w in. It may cost the oldest one its connection, which is returned then.
func (s *strangers) add(w *web) (out *web) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list.Len() >= s.max {
		out = s.list.Front().Value.(*web)
		s.removeLocked(out)
	}
	w.stranger = s.list.PushBack(w)
	return out
}

// remove: w is none any more. It may be called again.
func (s *strangers) remove(w *web) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(w)
}

func (s *strangers) removeLocked(w *web) {
	if w.stranger != nil {
		s.list.Remove(w.stranger)
		w.stranger = nil
	}
}

// countStranger counts w among the strangers, until it is removed.
func (w *web) countStranger() {
	if out := w.front.strangers.add(w); out != nil {
		out.abort(code.Overload)
		w.front.reject(out.conn, door.ErrCrowded)
	}
}
