package sla

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// errInUse is returned by lockFile for a file locked by another process.
var errInUse = errors.New("another process is logging to it")

// logFile is the file at the log's path. A regular file is locked and rotated; a device
// or pipe is only written to. All writes append. A logFile is used by a single
// goroutine.
type logFile struct {
	path    string
	max     int64                            // size at which it is rotated
	backups int                              // number of rotated files to keep
	warn    func(format string, args ...any) // logs that the file could not be rotated

	f       *os.File // nil if not open
	regular bool
	size    int64     // lower bound for f's size: the size when last checked plus bytes written since
	retry   time.Time // earliest time of the next attempt to rotate

	// rotator renames the file and removes old ones. It is reused because each
	// lumberjack.Logger starts a goroutine that never ends. A new one is created only
	// when a symbolic link points to a different file.
	rotator *lumberjack.Logger
}

// open opens the file at path, creating it if necessary.
func (l *logFile) open() error {
	flags := os.O_WRONLY | os.O_APPEND
	info, err := os.Stat(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
			return err
		}
		flags |= os.O_CREATE
	case err != nil:
		return err
	case info.Mode().IsRegular(), info.Mode()&fs.ModeCharDevice != 0:
	case info.Mode()&fs.ModeNamedPipe != 0:
		flags |= syscall.O_NONBLOCK // fail instead of blocking if the FIFO has no reader
	default:
		return fmt.Errorf("open %s: not a regular file", l.path)
	}
	f, err := os.OpenFile(l.path, flags, 0o600)
	if err != nil {
		return err
	}
	if err := l.take(f); err != nil {
		_ = f.Close() // nothing was written
		return fmt.Errorf("open %s: %w", l.path, err)
	}
	return nil
}

// take makes f the open file. A regular file is locked, because two processes that
// rotate the same file would rename each other's files.
func (l *logFile) take(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		if err := lockFile(f); err != nil {
			return err
		}
	}
	l.f, l.regular, l.size = f, info.Mode().IsRegular(), info.Size()
	return nil
}

// Write appends one line, rotating the file first if it would become too large.
func (l *logFile) Write(line []byte) (int, error) {
	if l.tooMuch(len(line)) && !time.Now().Before(l.retry) {
		if err := l.rotate(len(line)); err != nil {
			return 0, err
		}
	}
	n, err := l.f.Write(line)
	l.size += int64(n)
	return n, err
}

// Close closes the file, which releases its lock.
func (l *logFile) Close() error {
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close()
}

// tooMuch reports whether writing n more bytes requires a new file. Another program may
// have truncated the file, so the decision depends on its actual size.
func (l *logFile) tooMuch(n int) bool {
	if !l.regular || l.size+int64(n) <= l.max {
		return false
	}
	if info, err := l.f.Stat(); err == nil {
		l.size = info.Size()
	}
	return l.size+int64(n) > l.max
}

// rotate renames the file and opens a new one in its place. If renaming fails, the old
// file stays in use. An error means that no file is open.
func (l *logFile) rotate(n int) error {
	name, same := l.name()
	_ = l.Close() // Windows cannot rename an open file; all lines have been handed to the kernel
	var failed error
	if same {
		if l.rotator == nil || l.rotator.Filename != name {
			l.rotator = &lumberjack.Logger{Filename: name, MaxBackups: l.backups, LocalTime: true}
		}
		failed = l.rotator.Rotate()
		_ = l.rotator.Close() // it has written nothing; lines are written through l.f, which appends
	}
	if err := l.open(); err != nil {
		return err
	}
	if l.tooMuch(n) {
		l.retry = time.Now().Add(retryFile)
		l.warn("cannot rotate the log file, so it keeps growing: %v", failed)
	}
	return nil
}

// name returns the open file's name, with symbolic links resolved, and whether that
// name still refers to the open file. A file that another program has put there must
// not be renamed.
func (l *logFile) name() (string, bool) {
	name, err := filepath.EvalSymlinks(l.path)
	if err != nil {
		return "", false
	}
	there, err := os.Lstat(name)
	if err != nil {
		return "", false
	}
	ours, err := l.f.Stat()
	return name, err == nil && os.SameFile(there, ours)
}
