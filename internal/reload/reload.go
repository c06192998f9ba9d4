// Package reload parses a file and reloads it when it changes.
package reload

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/lines"
)

const (
	// Every is the minimum interval between checks of the same file.
	Every = time.Second
	// settled is the age beyond which a file's modification time identifies its version;
	// on some systems, file times are no more precise.
	settled = 2 * time.Second
)

// Config describes a File. T is the parsed content.
type Config[T any] struct {
	Path string
	Kind string // name in errors, such as "users"

	// Parse parses the file's text; old is the content in force, or nil at first.
	Parse func(text string, old *T) (*T, error)

	// Report, if not nil, is called after a change: with nil if the file was reloaded,
	// otherwise with the error, once per distinct error. It is called by the goroutine
	// that called Look.
	Report func(error)

	// KeepIfEmpty keeps the content in force while the file is empty, as it is for a
	// moment while being rewritten in place. Reload loads even an empty file.
	KeepIfEmpty bool
}

// File is a file that is reloaded when it changes. While it is invalid or missing, the
// previous content stays in force. Its methods may be called from any goroutine.
type File[T any] struct {
	Config[T] // set once, never changed

	now atomic.Pointer[T] // the content in force; never nil

	mu     sync.Mutex        // held while reading the file, never while Report runs; guards the fields below
	looked time.Time         // when the file was last checked
	read   time.Time         // when it was last read, successfully or not
	stamp  os.FileInfo       // the file's info at that time; nil if it was missing or unreadable
	sum    [sha256.Size]byte // hash of the text in force
	failed string            // the last reported error; empty after success
}

// Open reads a file, which must be valid, and returns it as a File.
func Open[T any](c Config[T]) (*File[T], error) {
	f := &File[T]{Config: c}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.readLocked(); err != nil {
		return nil, err
	}
	return f, nil
}

// Now returns the current content without checking the file.
func (f *File[T]) Now() *T { return f.now.Load() }

// Look reloads the file if it may have changed, checking at most once a second. It does
// not wait if another goroutine is already checking.
func (f *File[T]) Look() {
	if !f.mu.TryLock() {
		return
	}
	report, err := f.lookLocked()
	f.mu.Unlock()
	if report && f.Report != nil {
		f.Report(err)
	}
}

// Reload reads the file now, whether or not it has changed. It returns any error instead
// of reporting it.
func (f *File[T]) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.readLocked()
	f.noteLocked(err)
	return err
}

// lookLocked does the work of Look and returns whether there is a result to report.
func (f *File[T]) lookLocked() (report bool, err error) {
	if time.Since(f.looked) < Every {
		return false, nil
	}
	f.looked = time.Now()
	if info, err := os.Stat(f.Path); err == nil {
		empty := info.Mode().IsRegular() && info.Size() == 0
		if f.isReadLocked(info) || empty && f.KeepIfEmpty {
			return false, nil
		}
	}
	changed, err := f.readLocked()
	before := f.failed
	f.noteLocked(err)
	if err != nil {
		return f.failed != before, err
	}
	return changed || before != "", nil
}

func (f *File[T]) noteLocked(err error) {
	f.failed = ""
	if err != nil {
		f.failed = err.Error()
	}
}

// isReadLocked reports whether info matches the file last read, as far as that can be
// determined without reading it.
func (f *File[T]) isReadLocked(info os.FileInfo) bool {
	was := f.stamp
	return was != nil && os.SameFile(info, was) && info.Size() == was.Size() && info.ModTime().Equal(was.ModTime()) &&
		f.read.Sub(info.ModTime()) >= settled
}

// readLocked reads the file and, if it is valid, puts its content in force. It returns
// whether the content changed.
func (f *File[T]) readLocked() (changed bool, err error) {
	f.looked = time.Now()
	f.read = f.looked
	text, info, err := Read(f.Path, f.Kind)
	f.stamp = info
	if err != nil {
		return false, err
	}
	old := f.now.Load()
	next, err := f.Parse(text, old)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256([]byte(text))
	changed = old == nil || f.sum != sum
	f.sum = sum
	f.now.Store(next)
	return changed, nil
}

// Read reads a file once, like lines.ReadFile, but accepts only a regular file, since
// opening a pipe could block forever. The info is obtained before reading, so that a
// concurrent change is noticed later. It is nil if the file is missing or unreadable,
// because the cause may go away without changing the info. Errors name the file.
func Read(path, kind string) (text string, info os.FileInfo, err error) {
	info, err = os.Stat(path)
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", info, fmt.Errorf("%s is not a file", path)
	}
	text, err = lines.ReadFile(path, kind)
	if _, failed := errors.AsType[*fs.PathError](err); failed { // the error already names the file
		return "", nil, err
	}
	if err != nil {
		return "", info, fmt.Errorf("%s %w", path, err)
	}
	return text, info, nil
}
