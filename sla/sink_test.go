package sla

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	l, stderr := start(t, Config{Path: filepath.Join(dir, "t.log"), MaxMB: 1})
	text := strings.Repeat("x", 4000)
	const n = 800 // 3.2 MB
	for i := range n {
		l.Info("%03d %s", i, text)
		if i%200 == 0 {
			l.Flush(time.Minute)
			// Rotated files are named by the millisecond, so two in the same
			// millisecond would share a name.
			for ms := time.Now().UnixMilli(); time.Now().UnixMilli() == ms; {
				runtime.Gosched()
			}
		}
	}
	l.Close()
	if got := stderr.String(); got != "" {
		t.Errorf("standard error = %q, want nothing", got)
	}
	names, err := filepath.Glob(filepath.Join(dir, "t-*.log")) // in chronological order
	if err != nil || len(names) != 3 {
		t.Fatalf("rotated files are %q, %v, want 3", names, err)
	}
	i := 0
	for _, name := range append(names, filepath.Join(dir, "t.log")) {
		if info, err := os.Stat(name); err != nil || info.Size() > 1<<20 {
			t.Errorf("%s is %v, %v, want at most 1 MiB", name, info, err)
		}
		for _, line := range readLines(t, name) {
			if got, want := untimed(t, line), fmt.Sprintf("[info] [main] %03d %s", i, text); got != want {
				t.Fatalf("line %d is %.40q, want %.40q", i, got, want)
			}
			i++
		}
	}
	if i != n {
		t.Errorf("the files have %d lines, want %d", i, n)
	}
}

func TestBackups(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "t.log")
	l, _ := start(t, Config{Path: path, MaxMB: 1, Backups: 2})
	text := strings.Repeat("x", 4000)
	rotated := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "t-*.log"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	for i := range 1600 { // 6.4 MB
		l.Info("%s", text)
		if i%100 == 0 {
			l.Flush(time.Minute) // so that no line is dropped
		}
	}
	// Old files are removed in the background, after each rotation.
	for deadline := time.Now().Add(10 * time.Second); len(rotated()) != 2; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("rotated files are %q, want 2", rotated())
		}
	}
}

func TestAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "dir", "t.log")
	for _, text := range []string{"first", "second"} {
		l, stderr := start(t, Config{Path: path})
		l.Info("%s", text)
		l.Close()
		l.Close()
		if got := stderr.String(); got != "" {
			t.Errorf("standard error = %q, want nothing", got)
		}
	}
	if got, want := untimedLines(t, readLines(t, path)), "[info] [main] first\n[info] [main] second\n"; got != want {
		t.Errorf("file = %q, want %q", got, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o600 {
		t.Errorf("mode = %v, want 0600, because the log shows which targets users connect to", mode)
	}
}

func TestUnwritablePath(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(file, "t.log")} {
		l, stderr := start(t, Config{Path: path})
		l.Info("one")
		l.Reopen()
		l.Info("two")
		l.Close()
		lines := stderr.lines()
		if len(lines) != 3 {
			t.Fatalf("standard error = %q, want a warning and 2 lines", lines)
		}
		first := untimed(t, lines[0])
		if !strings.HasPrefix(first, "[warn] [main] cannot write the log file: ") || !strings.Contains(first, path) {
			t.Errorf("first line = %q, want the warning", first)
		}
		if got, want := untimedLines(t, lines[1:]), "[info] [main] one\n[info] [main] two\n"; got != want {
			t.Errorf("lines = %q, want %q", got, want)
		}
	}
}

func TestSocketIsNotAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no sockets in the file system:", err)
	}
	defer listener.Close()
	_, stderr := start(t, Config{Path: path})
	if got := stderr.String(); !strings.Contains(got, "not a regular file") {
		t.Errorf("standard error = %q, want the reason why a socket cannot be the log file", got)
	}
}

func TestUnwritablePathJSON(t *testing.T) {
	_, stderr := start(t, Config{Path: t.TempDir(), Format: "json"})
	if got := stderr.String(); !strings.HasPrefix(got, `{"time":`) || !strings.Contains(got, `"level":"warn"`) {
		t.Errorf("standard error = %q, want one warning in JSON", got)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "t.log"), filepath.Join(dir, "moved")
	l, stderr := start(t, Config{Path: path})
	l.Info("one")
	l.Flush(time.Minute)
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be moved")
	}
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	l.Info("two")
	l.Reopen()
	l.Info("three")
	l.Flush(time.Minute)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.Info("into the void")
	l.Reopen()
	l.Info("four")
	l.Close()
	l.Reopen()
	if got, want := untimedLines(t, readLines(t, moved)), "[info] [main] one\n[info] [main] two\n"; got != want {
		t.Errorf("moved file = %q, want %q", got, want)
	}
	if got, want := untimedLines(t, readLines(t, path)), "[info] [main] four\n"; got != want {
		t.Errorf("file = %q, want %q", got, want)
	}
	if got := stderr.String(); got != "" {
		t.Errorf("standard error = %q, want nothing", got)
	}
}

func TestReopenToStderr(t *testing.T) {
	l, stderr := start(t, Config{Path: "-"})
	l.Reopen()
	l.Info("one")
	if got, want := untimedLines(t, stderr.lines()), "[info] [main] one\n"; got != want {
		t.Errorf("standard error = %q, want %q", got, want)
	}
}

func TestDevice(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such device")
	}
	l, stderr := start(t, Config{Path: os.DevNull})
	l.Info("one")
	l.Reopen()
	l.Info("two")
	l.Close()
	if got := stderr.String(); got != "" {
		t.Errorf("standard error = %q, want nothing", got)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%s is no longer a device: %v, %v", os.DevNull, info, err)
	}
}

// brokenFile accepts n bytes and then fails.
type brokenFile struct {
	n   int
	got strings.Builder
}

func (f *brokenFile) Write(p []byte) (int, error) {
	n := min(f.n, len(p))
	f.n -= n
	f.got.Write(p[:n])
	if n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

func (f *brokenFile) Close() error { return nil }

func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stderr := start(t, Config{Path: os.DevNull})
		f := &brokenFile{n: 7}
		put := func() { l.out.queue.Do(func() { l.out.file.w, l.out.retry = f, time.Now().Add(time.Hour) }) }
		put()
		write := func(line string) {
			if n, err := l.out.Write([]byte(line)); n != len(line) || err != nil {
				t.Errorf("Write(%q) = %d, %v, want %d", line, n, err, len(line))
			}
		}
		write("one\n")
		write("two, torn\n")
		write("three\n")
		lines := stderr.lines()
		if len(lines) != 3 || !strings.HasPrefix(untimed(t, lines[0]), "[warn] [main] cannot write the log file") ||
			lines[1] != "two, torn" || lines[2] != "three" {
			t.Errorf("standard error = %q, want one warning and the lines that the file rejected", lines)
		}
		f.n = 100 // writable again
		put()
		write("four\n")
		write("five\n")
		l.Flush(time.Minute)
		if got, want := f.got.String(), "one\ntwo\nfour\nfive\n"; got != want {
			t.Errorf("file = %q, want %q", got, want)
		}
		l.Close()
	})
}

func TestFileIsRetried(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "later")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		l, stderr := start(t, Config{Path: path})
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		l.Info("one")
		time.Sleep(retryFile - time.Nanosecond)
		l.Info("two")
		l.Flush(time.Minute)
		time.Sleep(time.Nanosecond)
		l.Info("three")
		l.Close()
		lines := stderr.lines()
		if len(lines) != 3 || untimed(t, lines[1]) != "[info] [main] one" || untimed(t, lines[2]) != "[info] [main] two" {
			t.Errorf("standard error = %q, want a warning and the lines logged before %v had passed", lines, retryFile)
		}
		if got := untimedLines(t, readLines(t, path)); got != "[info] [main] three\n" {
			t.Errorf("file = %q, want the line logged after %v", got, retryFile)
		}
	})
}
