package users

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// userList is the parsed content of a file. It is immutable.
type userList struct {
	users map[string]*user
	dummy []byte // a hash that matches no password, used for unknown names
}

// newUserList parses text. Users in old, which may be nil, are reused if their hashes
// are unchanged.
func newUserList(text string, old *userList) (*userList, error) {
	_, hashes, err := parseUsers(text)
	if err != nil {
		return nil, err
	}
	l := &userList{users: make(map[string]*user, len(hashes))}
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
