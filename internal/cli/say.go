package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tunnels/internal/lossy"
)

const (
	screenMax  = 64 << 10    // bytes that may wait to be written
	screenTime = time.Second // how long close waits for them
)

// screen is standard output or error for a process that must not wait until
// somebody reads it: what does not fit is dropped.
type screen struct{ queue *lossy.Queue }

func newScreen(w io.Writer) *screen {
	return &screen{lossy.New(screenMax, func(text []byte) { w.Write(text) }, nil)} // there is nobody to tell
}

// Write queues text. It always succeeds.
func (t *screen) Write(text []byte) (int, error) {
	t.queue.Put(text)
	return len(text), nil
}

// close waits until everything is written, but not for long.
func (t *screen) close() { t.queue.Close(screenTime) }

// printError writes an error, each of its lines with the program's name.
func printError(w io.Writer, text string) {
	t := newScreen(w)
	defer t.close()
	for line := range strings.Lines(text) {
		fmt.Fprintln(t, "tunnels:", strings.TrimSuffix(line, "\n"))
	}
}
