package eagersocks

import (
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strings"

	"tunnels/internal/code"
)

// authorised is why r may not be served; nil: it may.
func (w *web) authorised(r *webRequest) error {
	if w.front.users == nil {
		return nil
	}
	header := r.get("Proxy-Authorization")
	if header == "" {
		return errNoPassword
	}
	if header == w.authHeader {
		return w.authErr
	}
	err := w.check(header)
	w.authHeader, w.authErr = header, err
	switch why, _ := code.Of(err); {
	case why == code.NotAuthorised:
		w.front.reject(w.conn, err)
	case err != nil:
		w.authHeader = "" // it was not looked at: the next request may have more luck
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
		f.rejected(remoteOf(c), err)
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
