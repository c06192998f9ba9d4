// Package lifecycle has what every role of a process has in common: it begins to listen
// once, serves connections, drains and closes.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// ErrClosed is returned by Stage.Listen and Stage.Serve after Close.
var ErrClosed = fmt.Errorf("tunnel: %w", net.ErrClosed)

// Stage is how far a role is in its life. What begin sets in Listen may be read after a
// call of Ready that returned true, and after Close. The zero value has not begun.
type Stage struct {
	mu sync.Mutex // held while beginning to listen
	// Guarded by mu.
	listening bool
	serving   bool
	closed    bool
}

// Listen calls begin unless it is too late, or has been done.
func (s *Stage) Listen(begin func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.listening:
		return errors.New("tunnel: already listening")
	}
	if err := begin(); err != nil {
		return err
	}
	s.listening = true
	return nil
}

// Serve notes that serving begins, which may be done once and after Listen.
func (s *Stage) Serve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.listening && s.closed:
		return ErrClosed
	case !s.listening:
		return errors.New("tunnel: Serve before Listen")
	case s.serving:
		return errors.New("tunnel: already serving")
	}
	s.serving = true
	return nil
}

// Ready reports whether Listen has succeeded.
func (s *Stage) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening
}

// Close has later calls of Listen fail, and waits for one that is under way.
func (s *Stage) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// Role is one thing that a process does: it has listened when it is given to those who
// serve, drain and close it.
type Role interface {
	// Serve serves until Shutdown or Close, and returns nil then.
	Serve() error
	// Reload reads again what may change while the role runs.
	Reload() error
	// Shutdown accepts nothing new, waits for what is being served until ctx ends, and
	// ends the rest. The error says what was cut off.
	Shutdown(ctx context.Context) error
	// Close ends everything at once.
	Close()
}
