package sla

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// lumberjack starts a goroutine per logger and never stops it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// buffer stands in for standard error.
type buffer struct {
	flush func() // makes the Logger write its queued lines; may be nil; set before use

	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	if b.flush != nil {
		b.flush()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lines returns the lines written, without their newlines.
func (b *buffer) lines() []string { return splitLines(b.String()) }

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// start returns a Logger and its standard error; the Logger is closed after the test.
func start(t testing.TB, c Config) (*Logger, *buffer) {
	t.Helper()
	stderr := new(buffer)
	c.Stderr = stderr
	l, err := New(c)
	if err != nil {
		t.Fatalf("New(%v) = %v", c, err)
	}
	stderr.flush = func() { l.Flush(time.Minute) }
	t.Cleanup(l.Close)
	return l, stderr
}

// untimed returns a line without its date and time.
func untimed(t *testing.T, line string) string {
	t.Helper()
	if err := Check(line); err != nil {
		t.Fatal(err)
	}
	return line[len("2006.01.02 15:04:05 "):]
}

// untimedLines returns lines without their dates and times.
func untimedLines(t *testing.T, lines []string) string {
	t.Helper()
	var s strings.Builder
	for _, line := range lines {
		s.WriteString(untimed(t, line) + "\n")
	}
	return s.String()
}
