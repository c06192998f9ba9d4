// Package terminal prompts for a password on a terminal.
package terminal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// ErrInterrupted is returned by ReadPassword after Ctrl-C.
var ErrInterrupted = errors.New("interrupted")

// Is reports whether r reads from a terminal.
func Is(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ReadPassword writes the prompt to w and reads one line from the terminal f without
// echo. After Ctrl-C it restores the terminal. The reading goroutine then stays blocked
// until the line ends, because a read from a terminal cannot be canceled and the caller
// is about to exit.
func ReadPassword(f *os.File, w io.Writer, prompt string) (string, error) {
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("reading the terminal's state: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	fmt.Fprint(w, prompt)
	type result struct {
		line []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		fmt.Fprintln(w) // the newline typed by the user was not echoed either
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", r.err)
		}
		return string(r.line), nil
	case <-signals:
		fmt.Fprintln(w)
		if err := term.Restore(fd, before); err != nil {
			return "", fmt.Errorf("restoring the terminal: %w", err)
		}
		return "", ErrInterrupted
	}
}
