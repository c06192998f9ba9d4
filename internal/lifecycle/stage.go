package tunnel

import (
	"errors"
	"fmt"
	"net"
	"sync"
)

// ErrClosed is returned by Listen and ListenAndServe of a Client or Server on which
// Shutdown or Close was called, also while they were starting.
var ErrClosed = fmt.Errorf("tunnel: %w", net.ErrClosed)

// stage is how far a Client or Server is in its life. What begin sets in listen may
// be read after a call of ready that returned true, and after close.
type stage struct {
	mu sync.Mutex // held while beginning to listen
	// Guarded by mu.
	listening bool
	serving   bool
	closed    bool
}

// listen calls begin unless it is too late, or has been done.
func (s *stage) listen(begin func() error) error {
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

// serve notes that serving begins, which may be done once and behind listen.
func (s *stage) serve() error {
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

// ready reports whether listen has succeeded.
func (s *stage) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening
}

// close has later calls of listen fail, and waits for one that is under way.
func (s *stage) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}
