package users

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	lookEvery = time.Second     // how often the file is looked at, if somebody asks
	settled   = 2 * time.Second // a file's time is no finer than that on some systems
)

// userList is the content of a file. It is static.
type userList struct {
	users map[string]*user
	dummy []byte            // a hash that is no password's, for names nobody has
	sum   [sha256.Size]byte // of the text
}

// newUserList parses text. Users of old, which may be nil, are taken over if their
// hash has not changed.
func newUserList(text []byte, old *userList) (*userList, error) {
	_, hashes, err := parseUsers(text)
	if err != nil {
		return nil, err
	}
	l := &userList{users: make(map[string]*user, len(hashes)), sum: sha256.Sum256(text)}
	cost := 0
	for name, hash := range hashes {
		c, err := bcrypt.Cost(hash)
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", name, err)
		}
		cost = max(cost, c)
		l.users[name] = &user{hash: hash}
		if old == nil {
			continue
		}
		if was := old.users[name]; was != nil && bytes.Equal(was.hash, hash) {
			l.users[name] = was
		}
	}
	if cost == 0 {
		cost = bcrypt.DefaultCost
	}
	l.dummy = fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat(".", hashSize-7))
	return l, nil
}

// Reload reads the file again, changed or not. If that fails, what was read
// before stays in force.
func (u *Users) Reload() error {
	u.loading.Lock()
	defer u.loading.Unlock()
	_, err := u.loadLocked()
	u.broken = ""
	if err != nil {
		u.broken = err.Error() // which our caller says
	}
	return err
}

// look reads the file again if it may have changed, at most once a second. Others
// go on with what they have meanwhile.
func (u *Users) look() {
	if !u.loading.TryLock() {
		return
	}
	report, err := u.lookLocked()
	u.loading.Unlock()
	if report && u.reread != nil {
		u.reread(err)
	}
}

// lookLocked says whether there is something to report.
func (u *Users) lookLocked() (report bool, err error) {
	if time.Since(u.looked) < lookEvery {
		return false, nil
	}
	if info, err := os.Stat(u.path); err == nil && u.isReadLocked(info) {
		u.looked = time.Now()
		return false, nil
	}
	changed, err := u.loadLocked()
	if err == nil {
		report = changed || u.broken != ""
		u.broken = ""
		return report, nil
	}
	report = u.broken != err.Error()
	u.broken = err.Error()
	return report, err
}

// isReadLocked tells whether the file of info is the one that was read last, as
// far as that can be known without reading it.
func (u *Users) isReadLocked(info os.FileInfo) bool {
	f := u.file
	return f != nil && os.SameFile(info, f) && info.Size() == f.Size() && info.ModTime().Equal(f.ModTime()) &&
		u.read.Sub(info.ModTime()) >= settled
}

// loadLocked reads the file, and puts it in force if it is right. It says whether
// that changes anything.
func (u *Users) loadLocked() (changed bool, err error) {
	u.looked = time.Now()
	u.read = u.looked
	text, info, err := readUsersFile(u.path)
	u.file = info
	if err != nil {
		return false, err
	}
	old := u.now.Load()
	l, err := newUserList(text, old)
	if err != nil {
		return false, fmt.Errorf("users file %s: %w", u.path, err)
	}
	u.now.Store(l)
	return old == nil || old.sum != l.sum, nil
}
