// Package users knows who may use a front door: it asks a file of names and hashes of
// passwords, and slows down who guesses.
package users

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"tunnels/internal/code"
	"tunnels/internal/reload"
)

const (
	nameMax     = 255 // bytes that RFC 1929 has room for
	passwordMax = 72  // bytes that bcrypt looks at
)

// errWrong tells nobody which of the two is wrong.
var errWrong = &code.Error{Code: code.NotAuthorised, Text: "user or password is wrong"}

// Users is an eagersocks.Authenticator that asks a file of names and bcrypt hashes, which
// it reads again when it has changed. Its methods may be called from any
// goroutine at any time.
//
// An address that gives wrong passwords is answered the later the more there
// were: 0.25 s after the first, doubled with each up to 8 s, until a password was
// right or five minutes have passed. A name with the password that was right the
// last time is neither slowed nor does it forgive anything, so that a program that
// is set up wrongly does not spoil the others on its machine, and nobody buys
// guesses with an account of his own.
type Users struct {
	// Set once, never changed.
	file *reload.File[userList]
	key  [32]byte      // of digests; random
	busy chan struct{} // bounds how many hashes are computed at a time
	done chan struct{} // closed by Close

	throttle loginThrottle

	closing sync.Once
}

// user is one of a file. It lives on in the next list if its hash is the same.
type user struct {
	hash []byte                            // set once, never changed
	good atomic.Pointer[[sha256.Size]byte] // digest of the password that was right; nil: none was
}

// Open reads the file at path: lines of the form name:hash, as `htpasswd -B`
// writes them. The hash is bcrypt's, beginning with $2a$, $2b$ or $2y$, and of a
// cost up to 14. Empty lines and those that begin with # say nothing.
//
// When the file has been read again because it changed, reread is told: nil if
// that went well, else what is wrong with it, once; what was read before stays in
// force then. Nil: nobody is told.
func Open(path string, reread func(error)) (*Users, error) {
	u := &Users{
		busy: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		done: make(chan struct{}),
	}
	_, _ = rand.Read(u.key[:]) // never fails
	var err error
	u.file, err = reload.Open(reload.Config[userList]{
		Path:   path,
		Kind:   "users",
		Report: reread,
		Parse: func(text string, old *userList) (*userList, error) {
			l, err := newUserList(text, old)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			return l, nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	return u, nil
}

// Reload reads the file again, changed or not. If that fails, what was read before
// stays in force.
func (u *Users) Reload() error { return u.file.Reload() }

// Check implements eagersocks.Authenticator. It is code.Overload if too many are waiting,
// and code.GoingAway after Close.
func (u *Users) Check(remote net.Addr, name, password string) error {
	select {
	case <-u.done:
		return errUsersClosed
	default:
	}
	u.file.Look()
	digest := u.digest(name, password)
	if u.find(name).wasRight(digest) {
		return nil
	}
	g, err := u.throttle.enter(whoIs(remote))
	if err != nil {
		return err
	}
	defer u.throttle.leave(g)
	until := time.Now().Add(slowWait)
	patience := time.NewTimer(slowWait)
	defer patience.Stop()
	if err := u.wait(g.turn, patience); err != nil {
		return err
	}
	defer func() { <-g.turn }()
	if u.find(name).wasRight(digest) { // found out while we waited
		return nil
	}
	if err := u.slowDown(u.throttle.pause(g), until); err != nil {
		return err
	}
	if err := u.wait(u.busy, patience); err != nil {
		return err
	}
	who := u.find(name)
	ok := u.compare(who, password)
	<-u.busy
	if !ok {
		u.throttle.failed(g)
		return errWrong
	}
	u.throttle.right(g)
	who.good.Store(&digest)
	if u.find(name) != who { // removed, or given another password, while that was computed
		return errWrong
	}
	return nil
}

// slowDown waits for d, unless that is past until.
func (u *Users) slowDown(d time.Duration, until time.Time) error {
	if d > time.Until(until) {
		return errGuessing
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-u.done:
		return errUsersClosed
	}
}

// wait takes a place, which the caller has to give back.
func (u *Users) wait(place chan<- struct{}, patience *time.Timer) error {
	select {
	case <-u.done:
		return errUsersClosed
	default:
	}
	select {
	case place <- struct{}{}:
		return nil
	case <-patience.C:
		return errCrowdedCheck
	case <-u.done:
		return errUsersClosed
	}
}

// find is the user of that name; nil: there is none.
func (u *Users) find(name string) *user { return u.file.Now().users[name] }

// compare takes as long for a name that nobody has; who is nil then.
func (u *Users) compare(who *user, password string) bool {
	hash := u.file.Now().dummy
	if who != nil {
		hash = who.hash
	}
	same := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	return same && who != nil && checkPassword(password) == nil
}

// digest stands for a name and password in memory, and means nothing elsewhere.
func (u *Users) digest(name, password string) (d [sha256.Size]byte) {
	h := hmac.New(sha256.New, u.key[:])
	fmt.Fprintf(h, "%d:%s%s", len(name), name, password)
	h.Sum(d[:0])
	return d
}

// wasRight reports whether digest is that of the password which was right. There
// may be no user.
func (w *user) wasRight(digest [sha256.Size]byte) bool {
	if w == nil {
		return false
	}
	good := w.good.Load()
	return good != nil && subtle.ConstantTimeCompare(good[:], digest[:]) == 1
}

// checkPassword says why a password cannot be anybody's: of those bcrypt would
// take one for another.
func checkPassword(password string) error {
	switch {
	case password == "":
		return errors.New("password is empty")
	case len(password) > passwordMax:
		return fmt.Errorf("password has %d bytes, bcrypt looks at %d", len(password), passwordMax)
	case strings.ContainsRune(password, 0):
		return errors.New("password has a zero byte")
	}
	return nil
}

// Close ends what waits in Check at once. Later Checks fail.
func (u *Users) Close() { u.closing.Do(func() { close(u.done) }) }
