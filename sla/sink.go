package sla

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// retryFile is how long a file that could not be written is left alone.
const retryFile = 30 * time.Second

// sink is where lines go: the file, or standard error while it has none.
type sink struct {
	path   string // empty: standard error
	stderr io.Writer
	format formatter // for the sink's own warning
	// rotator writes the file. There is one for the sink's life, however often
	// the file is reopened, because each starts a goroutine that never ends.
	rotator *lumberjack.Logger

	mu     sync.Mutex     // guards what follows; held while a line is written
	file   io.WriteCloser // nil: lines go to stderr
	retry  time.Time      // when to try the file again, if file is nil
	warned bool           // about the file, since it was last written
	torn   bool           // the file may end in the middle of a line
	closed bool
}

func newSink(s settings, f formatter) *sink {
	out := &sink{path: s.path, stderr: s.stderr, format: f}
	if s.path == "" {
		return out
	}
	out.rotator = &lumberjack.Logger{
		Filename:   s.path,
		MaxSize:    s.maxMB,
		MaxBackups: s.backups,
		LocalTime:  true,
	}
	out.reopen()
	return out
}

// where is the file that lines go to, empty while they go to standard error.
func (s *sink) where() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return ""
	}
	return s.path
}

// Write writes one line. It always succeeds: logrus would print an error of its
// own, in its own format.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path != "" && s.file == nil && !s.closed && !time.Now().Before(s.retry) {
		s.open()
	}
	if s.file == nil || !s.writeFile(line) {
		_, _ = s.stderr.Write(line) // there is nobody left to tell
	}
	return len(line), nil
}

// writeFile reports whether the file took the line. The caller holds mu.
func (s *sink) writeFile(line []byte) bool {
	if s.torn {
		// What stands there is no line any more, but this one shall be.
		line = append([]byte{'\n'}, line...)
	}
	n, err := s.file.Write(line)
	if err != nil {
		s.torn = s.torn || n > 0
		s.fail(err)
		return false
	}
	s.torn, s.warned = false, false
	return true
}

// reopen closes the file, if it is open, and opens it by its name.
func (s *sink) reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" || s.closed {
		return
	}
	if s.file != nil {
		_ = s.file.Close() // every line was handed to the system already
	}
	s.torn = false
	s.open()
}

// close closes the file; lines go to standard error from now on.
func (s *sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.Close() // every line was handed to the system already
	}
	s.file, s.closed = nil, true
}

// open makes file what path names, or fails. The caller holds mu.
func (s *sink) open() {
	file, err := s.openPath()
	if err != nil {
		s.fail(err)
		return
	}
	s.file = file
}

// openPath opens a regular file for rotation and a device, /dev/null say, as it
// is. lumberjack alone would move a file away that it may not write, or a
// device, and would not append to a file that it made itself.
func (s *sink) openPath() (io.WriteCloser, error) {
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeCharDevice != 0:
		return os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND, 0)
	case !info.Mode().IsRegular(): // opening a pipe would wait for its reader
		return nil, fmt.Errorf("open %s: not a regular file", s.path)
	}
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return s.rotator, f.Close()
}

// fail gives the file up for a while and says so once. The caller holds mu.
func (s *sink) fail(err error) {
	if s.file != nil {
		_ = s.file.Close() // it is of no use any more
	}
	s.file, s.retry = nil, time.Now().Add(retryFile)
	if s.warned {
		return
	}
	s.warned = true
	text := fmt.Sprintf("cannot write the log file: %v; logging to standard error", err)
	line, _ := s.format.appendLine(nil, time.Now(), LevelWarn, record{cat: mainTag, text: quote(text)})
	_, _ = s.stderr.Write(line) // there is nobody left to tell
}
