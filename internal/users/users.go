// Package users authenticates users of a front door against a file of names and
// password hashes, and slows down guessing.
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
	nameMax     = 255 // the maximum in RFC 1929
	passwordMax = 72  // bcrypt ignores further bytes
)

// errWrong does not reveal whether the name or the password is wrong.
var errWrong = &code.Error{Code: code.NotAuthorised, Text: "user or password is wrong"}

// Users is an eagersocks.Authenticator backed by a file of names and bcrypt hashes,
// which is reloaded when it changes. Its methods may be called from any goroutine.
//
// A wrong password delays further answers to the same address: by 0.25 s after the first
// one, doubling up to 8 s, until a correct password or five minutes without a wrong one.
// Credentials that worked last time are never delayed, but do not clear the failures
// either, so that one misconfigured program does not slow down the others on its
// machine, and an attacker with an account cannot use it to get more guesses.
type Users struct {
	// Set once, never changed.
	file *reload.File[userList]
	key  [32]byte      // for digests; random
	busy chan struct{} // limits concurrent hash computations
	done chan struct{} // closed by Close

	throttle loginThrottle

	closing sync.Once
}

// user is a user in a file. It is reused after a reload if its hash is unchanged.
type user struct {
	hash []byte                            // set once, never changed
	good atomic.Pointer[[sha256.Size]byte] // digest of the last correct password, or nil
}

// Open reads the file at path: lines of the form name:hash, as written by `htpasswd
// -B`. The hash is a bcrypt hash that begins with $2a$, $2b$ or $2y$ and has a cost of
// at most 14. Empty lines and lines that begin with # are ignored.
//
// reread, if not nil, is called after the file has changed: with nil if it was
// reloaded, otherwise once with the error; the previous users then stay in force.
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

// Reload reads the file, whether or not it has changed. If that fails, the previous
// users stay in force.
func (u *Users) Reload() error { return u.file.Reload() }

// Check implements eagersocks.Authenticator. The error has code.Overload if too many
// calls are waiting, and code.GoingAway after Close.
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
	if u.find(name).wasRight(digest) { // verified while this call was waiting
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
	if u.find(name) != who { // the user was removed, or the password changed, in the meantime
		return errWrong
	}
	return nil
}

// slowDown waits for d, or returns an error if that would last beyond until.
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

// wait acquires a slot, which the caller must release.
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

// find returns the user with that name, or nil.
func (u *Users) find(name string) *user { return u.file.Now().users[name] }

// compare reports whether password is correct for who. For an unknown name, who is nil,
// and compare takes just as long.
func (u *Users) compare(who *user, password string) bool {
	hash := u.file.Now().dummy
	if who != nil {
		hash = who.hash
	}
	same := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	return same && who != nil && checkPassword(password) == nil
}

// digest identifies a name and password, within this process only.
func (u *Users) digest(name, password string) (d [sha256.Size]byte) {
	h := hmac.New(sha256.New, u.key[:])
	fmt.Fprintf(h, "%d:%s%s", len(name), name, password)
	h.Sum(d[:0])
	return d
}

// wasRight reports whether digest matches the last correct password. w may be nil.
func (w *user) wasRight(digest [sha256.Size]byte) bool {
	if w == nil {
		return false
	}
	good := w.good.Load()
	return good != nil && subtle.ConstantTimeCompare(good[:], digest[:]) == 1
}

// checkPassword returns an error if a password can never be valid for any user, because bcrypt
// would treat it as equal to others.
func checkPassword(password string) error {
	switch {
	case password == "":
		return errors.New("password is empty")
	case len(password) > passwordMax:
		return fmt.Errorf("password is %d bytes long; bcrypt uses only the first %d", len(password), passwordMax)
	case strings.ContainsRune(password, 0):
		return errors.New("password contains a zero byte")
	}
	return nil
}

// Close makes waiting and later calls to Check fail immediately.
func (u *Users) Close() { u.closing.Do(func() { close(u.done) }) }
