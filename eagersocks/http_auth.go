package eagersocks

import (
	"encoding/base64"
	"errors"
	"strings"
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
	if header != w.authHeader {
		w.authHeader, w.authErr = header, w.check(header)
	}
	return w.authErr
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
