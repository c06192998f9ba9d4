//go:build unix

package sla

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fill logs n MB, slowly enough that no line is dropped.
func fill(l *Logger, mb int) {
	text := strings.Repeat("x", 4000)
	for i := range mb * 250 {
		l.Info("%s", text)
		if i%100 == 0 {
			l.Flush(time.Minute)
		}
	}
	l.Flush(time.Minute)
}

func names(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantLines checks that a file contains only log lines.
func wantLines(t *testing.T, path string) []string {
	t.Helper()
	lines := readLines(t, path)
	for _, line := range lines {
		if err := Check(line); err != nil {
			t.Fatalf("%s: %.200v", path, err)
		}
	}
	return lines
}

// TestTruncatedInPlace checks that lines are appended after the file is truncated,
// whenever that happens and however the file was opened.
func TestTruncatedInPlace(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(l *Logger)
	}{
		{"new file", func(l *Logger) {}},
		{"after its own rotation", func(l *Logger) { fill(l, 2) }},
		{"after a reopen", func(l *Logger) { fill(l, 2); l.Reopen() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t.log")
			l, _ := start(t, Config{Path: path, MaxMB: 1})
			tt.before(l)
			l.Info("before")
			l.Flush(time.Minute)
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			l.Info("after")
			l.Flush(time.Minute)
			if got := untimedLines(t, wantLines(t, path)); got != "[info] [main] after\n" {
				t.Errorf("file = %q, want the line logged after it was emptied", got)
			}
		})
	}
}

// TestTruncatedFileIsNotRotated checks that rotation depends on the file's size, not on
// the number of bytes written.
func TestTruncatedFileIsNotRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.log")
	l, _ := start(t, Config{Path: path, MaxMB: 2})
	for range 4 {
		fill(l, 1)
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, filepath.Join(filepath.Dir(path), "*")); len(got) != 1 {
		t.Errorf("files are %q, want only the log", got)
	}
}

// TestSymbolicLink checks that rotation renames the file, not the link.
func TestSymbolicLink(t *testing.T) {
	dir, far := t.TempDir(), t.TempDir()
	path, real := filepath.Join(dir, "t.log"), filepath.Join(far, "real.log")
	if err := os.Symlink(real, path); err != nil { // the link's target is created later
		t.Fatal(err)
	}
	l, stderr := start(t, Config{Path: path, MaxMB: 1})
	fill(l, 3)
	l.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v, want a link", info, err)
	}
	if got := names(t, filepath.Join(dir, "*")); len(got) != 1 {
		t.Errorf("next to the link: %q, want no files", got)
	}
	if got := names(t, filepath.Join(far, "real-*.log")); len(got) < 2 {
		t.Errorf("rotated files are %q, want at least 2", got)
	}
	wantLines(t, path)
	if got := stderr.String(); got != "" {
		t.Errorf("standard error = %q, want nothing", got)
	}
}

// TestLinkLeadsElsewhere checks that a link can be redirected while in use.
func TestLinkLeadsElsewhere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "t.log")
	for _, real := range []string{"a.log", "b.log"} {
		os.Remove(path)
		if err := os.Symlink(real, path); err != nil {
			t.Fatal(err)
		}
		l, _ := start(t, Config{Path: path, MaxMB: 1})
		fill(l, 2)
		l.Close()
	}
	l, _ := start(t, Config{Path: path, MaxMB: 1})
	fill(l, 2)
	os.Remove(path)
	if err := os.Symlink("c.log", path); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	fill(l, 3)
	for _, real := range []string{"a", "b", "c"} {
		if got := names(t, filepath.Join(dir, real+"-*.log")); len(got) == 0 {
			t.Errorf("%s.log was not rotated", real)
		}
	}
}

// TestForeignFileIsNotRenamed checks that lines are appended to a file that another
// program has put in place of the log.
func TestForeignFileIsNotRenamed(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "t.log"), filepath.Join(dir, "moved")
	l, _ := start(t, Config{Path: path, MaxMB: 1})
	l.Info("one")
	l.Flush(time.Minute)
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("foreign\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 4000)
	for range 300 { // enough for one rotation
		l.Info("%s", text)
	}
	l.Close()
	if got := readLines(t, path); got[0] != "foreign" || len(got) < 2 {
		t.Errorf("file has %d lines starting with %.40q, want the foreign line and more", len(got), got[0])
	}
	if got := names(t, filepath.Join(dir, "*")); len(got) != 2 {
		t.Errorf("files are %q, want 2", got)
	}
	if got := untimed(t, wantLines(t, moved)[0]); got != "[info] [main] one" {
		t.Errorf("the moved file begins with %q", got)
	}
}

// TestCannotRotate checks that a file that cannot be renamed stays in use.
func TestCannotRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("n", 251)+".log") // too long to append the time of rotation
	l, stderr := start(t, Config{Path: path, MaxMB: 1})
	fill(l, 2)
	l.Close()
	warnings := 0
	for _, line := range wantLines(t, path) {
		if strings.Contains(line, "[warn] [main] cannot rotate the log file") {
			warnings++
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() < 2e6 || warnings != 1 {
		t.Errorf("file is %v, %v, with %d warnings, want all lines and one warning", info, err, warnings)
	}
	if got := stderr.String(); got != "" {
		t.Errorf("standard error = %q, want nothing", got)
	}
}

func TestTwoLoggersOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.log")
	a, errA := start(t, Config{Path: path, MaxMB: 1})
	fill(a, 2) // force a rotation, so that lumberjack's goroutine starts outside the synctest bubble
	a.Flush(time.Minute)
	for !a.out.queue.Idle() {
		runtime.Gosched()
	}
	synctest.Test(t, func(t *testing.T) {
		b, errB := start(t, Config{Path: path, MaxMB: 1})
		if b.File() != "" || a.File() != path {
			t.Errorf("files are %q and %q, want only the first to use the path", a.File(), b.File())
		}
		b.Info("b")
		lines := errB.lines()
		if len(lines) != 2 || !strings.Contains(lines[0], "[warn] [main] cannot write the log file: open "+path+": another process is logging to it") {
			t.Errorf("standard error of the second = %q, want a warning and its line", lines)
		}
		fill(a, 2) // a rotation must not release the lock
		a.Info("a")
		a.Reopen()
		a.Info("still a")
		a.Flush(time.Minute)
		time.Sleep(retryFile)
		b.Info("still b")
		if got := len(errB.lines()); got != 3 {
			t.Errorf("standard error of the second has %d lines, want 3", got)
		}
		a.Close()
		time.Sleep(retryFile)
		b.Info("b has it")
		b.Close()
		lines = wantLines(t, path)
		if got := untimed(t, lines[len(lines)-1]); got != "[info] [main] b has it" {
			t.Errorf("the last line is %q, want the one from the second, which outlived the first", got)
		}
	})
	if got := errA.String(); got != "" {
		t.Errorf("standard error of the first = %q, want nothing", got)
	}
}

// TestDefaultPath checks that a permission error causes a warning only for a path that
// was set explicitly.
func TestDefaultPath(t *testing.T) {
	for _, tt := range []struct {
		name  string
		quiet bool
		err   error
		want  int
	}{
		{"default, permission", true, os.ErrPermission, 0},
		{"default, wrapped", true, &os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, 0},
		{"default, full", true, syscall.ENOSPC, 1},
		{"default, in use", true, errInUse, 1},
		{"given, permission", false, os.ErrPermission, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, stderr := start(t, Config{Path: os.DevNull, Default: tt.quiet})
			l.out.queue.Do(func() { l.out.fail(tt.err) })
			l.Info("one")
			if got := stderr.lines(); len(got) != tt.want+1 {
				t.Errorf("standard error = %q, want %d warnings and the line", got, tt.want)
			}
			if got := l.File(); got != "" {
				t.Errorf("File = %q, want none", got)
			}
		})
	}
}

func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("without reader", func(t *testing.T) {
		l, stderr := start(t, Config{Path: path})
		l.Info("one")
		if got := stderr.lines(); len(got) != 2 || !strings.Contains(got[0], "cannot write the log file") {
			t.Errorf("standard error = %q, want a warning and the line", got)
		}
	})
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("with reader", func(t *testing.T) {
		l, stderr := start(t, Config{Path: path})
		l.Info("one")
		l.Close()
		b := make([]byte, 1000)
		n, _ := r.Read(b)
		if got := untimedLines(t, splitLines(string(b[:n]))); got != "[info] [main] one\n" {
			t.Errorf("pipe has %q, want the line", got)
		}
		if got := stderr.String(); got != "" {
			t.Errorf("standard error = %q, want nothing", got)
		}
	})
	t.Run("reader reads nothing, then closes", func(t *testing.T) {
		l, stderr := start(t, Config{Path: path})
		for range 1000 { // 4 MB
			l.Info("%s", strings.Repeat("x", 4000))
		}
		r.Close()
		l.Info("after")
		got := stderr.lines()
		if len(got) < 2 || !strings.Contains(stderr.String(), "cannot write the log file") {
			t.Errorf("standard error has %d lines, want a warning and the lines that the pipe did not accept", len(got))
		}
		if !strings.Contains(stderr.String(), "log lines were lost") {
			t.Error("standard error does not say how many lines were lost")
		}
	})
}

// stuck is a standard error that blocks until it is released and then fails a given
// number of times.
type stuck struct {
	free chan struct{}
	fail int // owned by the writer
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	if s.fail > 0 {
		s.fail--
		return 0, errors.New("broken")
	}
	return s.Buffer.Write(p)
}

// tally counts the lines of cat in a log, and the lines reported as lost.
func tally(t *testing.T, log, want string) (lines, lost int) {
	t.Helper()
	for _, line := range splitLines(log) {
		text := untimed(t, line)
		if n, ok := strings.CutSuffix(text, " log lines were lost here: they could not be written"); ok {
			i, err := strconv.Atoi(strings.TrimPrefix(n, "[warn] [main] "))
			if err != nil {
				t.Fatal(err)
			}
			lost += i
		} else if strings.HasPrefix(text, want) {
			lines++
		}
	}
	return lines, lost
}

// TestStuckStderr checks that neither logging nor Close waits for a standard error that
// is not being read, and that every lost line is counted.
func TestStuckStderr(t *testing.T) {
	for _, tt := range []struct {
		name string
		path string
		fail int
	}{
		{"no file", "-", 0},
		{"no file, broken for a while", "-", 7},
		{"a file that cannot be written", "/nowhere\x00", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &stuck{free: make(chan struct{}), fail: tt.fail}
				l, err := New(Config{Path: tt.path, Stderr: out})
				if err != nil {
					t.Fatal(err)
				}
				text := strings.Repeat("x", 4000)
				const n = 3000 // 12 MB
				for range n {
					l.Info("%s", text)
				}
				l.Reopen()
				l.Reopen()
				close(out.free)
				if !l.Flush(time.Minute) {
					t.Error("Flush = false although standard error is being read")
				}
				l.Info("end")
				l.Flush(time.Minute)
				lines, lost := tally(t, out.String(), "[info] [main] x")
				if lines+lost != n || lost == 0 || lines == 0 {
					t.Errorf("%d lines were written and %d were lost, want %d in total", lines, lost, n)
				}
				if !strings.HasSuffix(out.String(), "[info] [main] end\n") {
					t.Error("the last line is not the one logged last")
				}
				l.Close()
			})
		})
	}
}

// TestCloseWithStuckStderr checks that a stuck standard error delays Close by no more
// than its limit.
func TestCloseWithStuckStderr(t *testing.T) {
	for _, path := range []string{"-", "/nowhere\x00"} {
		synctest.Test(t, func(t *testing.T) {
			out := &stuck{free: make(chan struct{})}
			l, err := New(Config{Path: path, Stderr: out})
			if err != nil {
				t.Fatal(err)
			}
			l.Info("one")
			begin := time.Now()
			l.Close()
			if d := time.Since(begin); d > 2*closeTime {
				t.Errorf("Close took %v, want at most %v", d, 2*closeTime)
			}
			l.Info("dropped")
			close(out.free)
			synctest.Wait()
			if got := out.String(); !strings.Contains(got, "one") || strings.Contains(got, "dropped") {
				t.Errorf("standard error = %q, want the line logged before Close", got)
			}
		})
	}
}

// TestFileRecoversDespiteStuckStderr checks that a file is used again once it becomes
// writable, even while standard error is stuck.
func TestFileRecoversDespiteStuckStderr(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.log")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{free: make(chan struct{})}
		l, err := New(Config{Path: path, Stderr: out})
		if err != nil {
			t.Fatal(err)
		}
		l.Info("to standard error")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(retryFile)
		l.Info("to the file")
		l.Close()
		if got := untimedLines(t, wantLines(t, path)); got != "[info] [main] to the file\n" {
			t.Errorf("file = %q", got)
		}
		close(out.free)
	})
}

// TestCountsAroundLoss checks that the report of lost lines appears where the lines
// would have been, so that the counts on either side match.
func TestCountsAroundLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuck{free: make(chan struct{})}
		l, err := New(Config{Path: "-", Stderr: out})
		if err != nil {
			t.Fatal(err)
		}
		const n = 40000
		for i := range n {
			l.Opened(Conn, fmt.Sprint(i))
		}
		close(out.free)
		l.Flush(time.Minute)
		l.Opened(Conn, "last")
		l.Close()
		count := 0
		for _, line := range splitLines(out.String()) {
			if _, lost := tally(t, line, ""); lost > 0 {
				count += lost
				continue
			}
			count++
			if !strings.HasSuffix(line, fmt.Sprint(" = ", count)) {
				t.Fatalf("line %q, want count %d", line, count)
			}
		}
		if count != n+1 {
			t.Errorf("the last count is %d, want %d", count, n+1)
		}
	})
}
