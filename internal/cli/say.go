package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tunnels/internal/lossy"
)

const (
	screenMax  = 64 << 10    // bytes waiting to be written
	screenTime = time.Second // how long close waits for them
)

// screen is standard output or error for a process that must not block if its output is
// not read: text that does not fit is dropped.
type screen struct{ queue *lossy.Queue }

func newScreen(w io.Writer) *screen {
	return &screen{lossy.New(screenMax, func(text []byte) { w.Write(text) }, nil)} // dropped text cannot be reported
}

// Write queues text. It never fails.
func (t *screen) Write(text []byte) (int, error) {
	t.queue.Put(text)
	return len(text), nil
}

// close waits until everything is written, for a limited time.
func (t *screen) close() { t.queue.Close(screenTime) }

// printError writes an error with the program's name before each line.
func printError(w io.Writer, text string) {
	t := newScreen(w)
	defer t.close()
	for line := range strings.Lines(text) {
		fmt.Fprintln(t, "tunnels:", strings.TrimSuffix(line, "\n"))
	}
}
