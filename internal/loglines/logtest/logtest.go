// Package logtest provides helpers for tests that check log lines.
package logtest

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnels/sla"
)

// Buffer collects a test's log. The zero value is ready to use.
type Buffer struct {
	flush func() // flushes the Logger; nil without one; set before use

	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns everything logged so far.
func (l *Buffer) String() string {
	if l.flush != nil {
		l.flush()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Logger returns a Logger that writes to l at debug level.
func (l *Buffer) Logger(t testing.TB) *sla.Logger {
	t.Helper()
	return l.LoggerWith(t, sla.Config{Level: "debug"})
}

// LoggerWith returns a Logger configured by cfg that writes to l.
func (l *Buffer) LoggerWith(t testing.TB, cfg sla.Config) *sla.Logger {
	t.Helper()
	cfg.Path, cfg.Stderr = "-", l
	log, err := sla.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.flush = func() { log.Flush(time.Minute) }
	return log
}

// Wait waits until a single line of the log contains all texts. If none does within 10
// seconds, it reports an error that starts with name, which says whose log it is.
func (l *Buffer) Wait(t *testing.T, name string, texts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		for line := range strings.Lines(l.String()) {
			if !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(line, s) }) {
				return
			}
		}
		if ctx.Err() != nil {
			t.Errorf("%s log has no line with %q", name, texts)
			return
		}
	}
}

// With returns the log lines that contain text, without their timestamps.
func (l *Buffer) With(text string) (found []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			found = append(found, strings.TrimSpace(line[len("2020.09.01 17:15:07 "):]))
		}
	}
	return found
}

// secs matches a duration, which varies from run to run.
var secs = regexp.MustCompile(` sec=\d+\.\d+`)

// Want checks that the log has exactly these lines, ignoring timestamps and durations.
func (l *Buffer) Want(t *testing.T, want ...string) {
	t.Helper()
	got := l.With("")
	for i, line := range got {
		got[i] = secs.ReplaceAllString(line, "")
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
