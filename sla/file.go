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

// errInUse is the answer of lockFile for a file that another process has locked.
var errInUse = errors.New("another process is logging to it")

// logFile is what the log's path names: a regular file, which is locked and
// rotated, or a device or a pipe, which are written as they are. All writes
// append. One goroutine uses it.
type logFile struct {
	path    string
	max     int64                            // size at which it is rotated
	backups int                              // rotated files that are kept
	warn    func(format string, args ...any) // logs that it could not be rotated

	f       *os.File // nil: not open
	regular bool
	size    int64     // at least what f held when it was last looked at, with what was written since
	retry   time.Time // do not try to rotate before

	// rotator renames the file and removes old ones. It is kept, because each
	// starts a goroutine that never ends; only a symbolic link that leads
	// elsewhere needs another one.
	rotator *lumberjack.Logger
}

// open opens the file by its name, or makes it.
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
		flags |= syscall.O_NONBLOCK // opening it does not wait for its reader, but fails
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

// take makes f the open file, locked if it is a regular one: of two processes
// that rotate the same file, each would move away the other's.
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

// Write appends one line, after rotating if it would be too much.
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

// Close closes the file, which gives up its lock.
func (l *logFile) Close() error {
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close()
}

// tooMuch reports whether n bytes more need another file. The file may have
// been emptied by someone else, so its true size decides.
func (l *logFile) tooMuch(n int) bool {
	if !l.regular || l.size+int64(n) <= l.max {
		return false
	}
	if info, err := l.f.Stat(); err == nil {
		l.size = info.Size()
	}
	return l.size+int64(n) > l.max
}

// rotate renames the file and opens a new one in its place. If that fails, the
// old one is written on. Its error means that no file is open.
func (l *logFile) rotate(n int) error {
	name, same := l.name()
	_ = l.Close() // Windows renames no open file; every line was handed to the system already
	var failed error
	if same {
		if l.rotator == nil || l.rotator.Filename != name {
			l.rotator = &lumberjack.Logger{Filename: name, MaxBackups: l.backups, LocalTime: true}
		}
		failed = l.rotator.Rotate()
		_ = l.rotator.Close() // nothing was written by it; it would not append
	}
	if err := l.open(); err != nil {
		return err
	}
	if l.tooMuch(n) {
		l.retry = time.Now().Add(retryFile)
		l.warn("cannot rotate the log file, it grows: %v", failed)
	}
	return nil
}

// name returns the name of the open file, behind symbolic links, and whether it
// is that file still: what another program put there in the meantime is not
// ours to rename.
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
