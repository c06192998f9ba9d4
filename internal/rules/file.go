package rules

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/internal/lines"
)

// lookEvery is how often the file is looked at, at most.
const lookEvery = time.Second

// File is a file of rules that is read again when it changes. While it is broken
// or gone, what was read before stays in force. Its methods may be called from
// any goroutine.
type File struct {
	path   string      // static
	report func(error) // static; see Open
	now    atomic.Pointer[Table]
	next   atomic.Int64 // when to look again, in ns since start
	start  time.Time    // static

	mu     sync.Mutex  // held while the file is read, never while report runs; guards the rest
	stamp  os.FileInfo // of the file when it was last read; nil: it was not there or could not be read
	failed string      // the error that was last reported
}

// Read reads a file once.
func Read(path string) (*Table, error) {
	t, _, err := read(path)
	return t, err
}

// Open reads a file, which must be right, and follows its changes. report is told
// of them: nil after the file was read again, else what is wrong with it, the same
// thing once. It is called by who calls Table.
func Open(path string, report func(error)) (*File, error) {
	t, stamp, err := read(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, report: report, stamp: stamp, start: time.Now()}
	f.now.Store(t)
	f.next.Store(int64(lookEvery))
	return f, nil
}

// Table is the rules in force. Once a second it looks whether the file has
// changed; nobody waits for another one who does so. A nil File has a nil Table.
func (f *File) Table() *Table {
	if f == nil {
		return nil
	}
	if int64(time.Since(f.start)) >= f.next.Load() && f.mu.TryLock() {
		f.next.Store(int64(time.Since(f.start) + lookEvery))
		changed, err := f.lookLocked()
		f.mu.Unlock()
		if changed {
			f.report(err)
		}
	}
	return f.now.Load()
}

// Reload reads the file now, changed or not.
func (f *File) Reload() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.readLocked()
	return err
}

// lookLocked reads the file if it has changed. It says whether there is something
// to report.
func (f *File) lookLocked() (changed bool, err error) {
	info, err := os.Stat(f.path)
	if err == nil && same(f.stamp, info) {
		return false, nil
	}
	// Many a program empties a file before it writes it: in that moment nobody
	// would have rules. Who means it has Reload.
	if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return false, nil
	}
	return f.readLocked()
}

func (f *File) readLocked() (changed bool, err error) {
	t, stamp, err := read(f.path)
	f.stamp = stamp
	if err == nil {
		f.failed = ""
		f.now.Store(t)
		return true, nil
	}
	changed = err.Error() != f.failed
	f.failed = err.Error()
	return changed, err
}

// read reads a file. The info is that from before it was read, so that a change
// meanwhile is seen as one; nil: there is no file, or it could not be read, which
// may change without a trace in the info.
func read(path string) (*Table, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe could wait for ever
		return nil, info, fmt.Errorf("%s is not a file", path)
	}
	text, err := lines.ReadFile(path, "rules")
	if err != nil {
		if _, ok := errors.AsType[*os.PathError](err); ok { // which names it
			return nil, nil, err
		}
		return nil, info, fmt.Errorf("%s %w", path, err)
	}
	t, err := Parse(text, path)
	return t, info, err
}

func same(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Problems are the single errors that an error of this package joins.
func Problems(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

// OneLine is what an error of this package says, on one line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
