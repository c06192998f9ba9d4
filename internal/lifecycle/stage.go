// Package lifecycle implements the behavior shared by all roles of a process: listening
// once, serving connections, draining and closing.
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

// Stage tracks the lifecycle of a role. Fields set by the begin function passed to
// Listen may be read once Ready has returned true, and after Close. The zero value is
// not listening.
type Stage struct {
	mu sync.Mutex // held during begin
	// Guarded by mu.
	listening bool
	serving   bool
	closed    bool
}

// Listen calls begin, unless the role is already listening or closed.
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

// Serve marks the role as serving. It may be called only once, after Listen.
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

// Close makes later calls to Listen fail and waits for one already in progress.
func (s *Stage) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// Role is one task of a process, such as the client or the server. It must already be
// listening.
type Role interface {
	// Serve serves until Shutdown or Close is called, and then returns nil.
	Serve() error
	// Reload reloads the files that may change while the role is running.
	Reload() error
	// Shutdown stops accepting, waits for open connections until ctx is done, then ends
	// the rest. The error reports what was cut off.
	Shutdown(ctx context.Context) error
	// Close ends everything immediately.
	Close()
}
