package eagersocks

import (
	"errors"
	"fmt"
	"io"

	"github.com/things-go/go-socks5"
	"github.com/things-go/go-socks5/statute"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
)

// Authenticator decides who may use a front door. Its method may be called from
// any goroutine at any time.
//
//	Check(remote net.Addr, name, password string) error
//
// Check returns nil if password is name's password. To slow down guessing, it may block
// for up to about nine seconds. The error carries code.NotAuthorised if name and
// password do not match, and another code if they could not be checked. remote is the
// application's address, or nil if unknown. Check is called for every request, including
// later ones on the same connection, so checking credentials that were valid before
// should be cheap.
type Authenticator = appconn.Authenticator

// Constants from RFC 1929.
const (
	passwordVersion = 1
	passwordRight   = 0
	passwordWrong   = 1
)

// userPass implements SOCKS5's "username/password" method (RFC 1929) for go-socks5,
// whose own implementation keeps the password for the life of the connection.
type userPass struct{ users Authenticator }

// GetCode implements socks5.Authenticator.
func (userPass) GetCode() uint8 { return statute.MethodUserPassAuth }

// Authenticate implements socks5.Authenticator. w is the *greeting being read.
func (u userPass) Authenticate(r io.Reader, w io.Writer, _ string) (*socks5.AuthContext, error) {
	if _, err := w.Write([]byte{version, statute.MethodUserPassAuth}); err != nil {
		return nil, err
	}
	name, password, err := readUserPass(r)
	g := w.(*greeting)
	if err == nil {
		g.login = func() error { return u.users.Check(g.RemoteAddr(), name, password) }
		err = g.login()
	} else if _, ok := code.Of(err); !ok {
		return nil, err // the connection failed, so no answer can be sent
	}
	status := byte(passwordRight)
	if err != nil {
		status = passwordWrong
	}
	_, werr := w.Write([]byte{passwordVersion, status})
	return &socks5.AuthContext{Method: statute.MethodUserPassAuth}, errors.Join(err, werr)
}

// readUserPass reads the request defined in RFC 1929 section 2, which is at most 513
// bytes.
func readUserPass(r io.Reader) (name, password string, err error) {
	var head [1]byte
	field := func() (string, error) {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return "", err
		}
		b := make([]byte, head[0])
		_, err := io.ReadFull(r, b)
		return string(b), err
	}
	if _, err = io.ReadFull(r, head[:]); err == nil && head[0] != passwordVersion {
		err = malformed("username/password version is 0x%02x, want 0x01", head[0])
	}
	if err == nil {
		name, err = field()
	}
	if err == nil {
		password, err = field()
	}
	if err != nil {
		return "", "", fmt.Errorf("reading the user name and password: %w", err)
	}
	return name, password, nil
}
