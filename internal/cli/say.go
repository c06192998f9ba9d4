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
	screenTime = time.Second // how long close waits for them to be written
)

// screen is standard output or error for a process that must not block when its output
// is not read: text that does not fit is dropped.
type screen struct{ queue *lossy.Queue }

func newScreen(w io.Writer) *screen {
	return &screen{lossy.New(screenMax, func(text []byte) { w.Write(text) }, nil)} // dropped text cannot be reported
}

// Write queues text. It never fails.
func (t *screen) Write(text []byte) (int, error) {
	t.queue.Put(text)
	return len(text), nil
}

// close waits, for a limited time, until everything is written.
func (t *screen) close() { t.queue.Close(screenTime) }

// printError writes an error, each line prefixed with the program's name.
func printError(w io.Writer, text string) {
	t := newScreen(w)
	defer t.close()
	for line := range strings.Lines(text) {
		fmt.Fprintln(t, "tunnels:", strings.TrimSuffix(line, "\n"))
	}
}
