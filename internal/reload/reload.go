// Package reload keeps what a file says, and reads it again when the file changes.
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
	// Every is how often a file is looked at, if somebody asks.
	Every = time.Second
	// settled is the age from which a file's time tells versions apart: on some
	// systems it is no finer than that.
	settled = 2 * time.Second
)

// Config says what a File is. T is what its text means.
type Config[T any] struct {
	Path string
	Kind string // what errors call it: "users"

	// Parse reads the file's text; old is what was in force before, nil at first.
	Parse func(text string, old *T) (*T, error)

	// Report is told what became of a change: nil after the file was read again, else
	// what is wrong with it, the same thing once. It runs in the caller of
	// Look. Nil reports nothing.
	Report func(error)

	// KeepIfEmpty leaves what is in force while the file is empty, as it is for a moment
	// when it is written in place. Reload reads it all the same.
	KeepIfEmpty bool
}

// File is a file that is read again when it changes. While it is broken or gone, what
// was read before stays in force. Its methods may be called from any goroutine.
type File[T any] struct {
	Config[T] // set once, never changed

	now atomic.Pointer[T] // what is in force; never nil

	mu     sync.Mutex        // held while the file is read, never while Report runs; guards the fields below
	looked time.Time         // when the file was last looked at
	read   time.Time         // when it was last read, well or badly
	stamp  os.FileInfo       // of the file as it was read then; nil: it was gone or could not be read
	sum    [sha256.Size]byte // of the text in force
	failed string            // the error that was reported last; empty: all is well
}

// Open reads a file, which must be right.
func Open[T any](c Config[T]) (*File[T], error) {
	f := &File[T]{Config: c}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.readLocked(); err != nil {
		return nil, err
	}
	return f, nil
}

// Now returns what is in force. It does not look at the file.
func (f *File[T]) Now() *T { return f.now.Load() }

// Look reads the file again if it may have changed, at most every second. Nobody waits
// for another one who does so.
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

// Reload reads the file now, changed or not. Its error is not reported again.
func (f *File[T]) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.readLocked()
	f.noteLocked(err)
	return err
}

// lookLocked reports whether there is something to report.
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

// isReadLocked reports whether the file of info is the one that was read last, as far as
// that can be known without reading it.
func (f *File[T]) isReadLocked(info os.FileInfo) bool {
	was := f.stamp
	return was != nil && os.SameFile(info, was) && info.Size() == was.Size() && info.ModTime().Equal(was.ModTime()) &&
		f.read.Sub(info.ModTime()) >= settled
}

// readLocked reads the file, and puts it in force if it is right. It reports whether that
// changes anything.
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

// Read reads a file once, as lines.ReadFile does, but nothing that is no file: opening a
// pipe could wait for ever. The info is that of the file before it was read, so that a
// change meanwhile is seen as one; nil: there is none, or it could not be read: that may
// change without a trace in the info. An error names the file.
func Read(path, kind string) (text string, info os.FileInfo, err error) {
	info, err = os.Stat(path)
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", info, fmt.Errorf("%s is not a file", path)
	}
	text, err = lines.ReadFile(path, kind)
	if _, failed := errors.AsType[*fs.PathError](err); failed { // which names it
		return "", nil, err
	}
	if err != nil {
		return "", info, fmt.Errorf("%s %w", path, err)
	}
	return text, info, nil
}
