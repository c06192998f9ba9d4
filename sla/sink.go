package sla

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"tunnels/internal/lossy"
)

const (
	retryFile  = 30 * time.Second // how long to wait before retrying a file that could not be written
	maxWaiting = 2 << 20          // maximum bytes of lines waiting to be written
	openTime   = time.Second      // how long New waits for the file to be opened
	closeTime  = time.Second      // how long Close waits for lines to be written
)

// sink writes lines to the file, or to standard error while the file cannot be written.
// Callers wait for neither, because lines go through a queue.
type sink struct {
	path   string // empty for standard error
	quiet  bool   // do not warn if permission for path is denied, because path is a default
	format formatter
	queue  *lossy.Queue // all lines
	spare  *lossy.Queue // lines for standard error while the file is not open; nil if path is empty

	lost      atomic.Int64 // lines lost but not yet reported
	reopening atomic.Bool  // a reopen is queued
	inFile    atomic.Bool  // lines are being written to the file

	stderr stream // owned by the writer of spare or, if spare is nil, of queue

	// Owned by queue's writer.
	file   stream    // wraps log; its w is nil while lines go to standard error
	log    *logFile  // nil if path is empty
	retry  time.Time // when to try the file again if it is not open
	warned bool      // a warning has been logged since the file was last written
}

// stream writes lines and copes with writes that fail partway through a line.
type stream struct {
	w    io.WriteCloser
	torn bool // the last write ended in mid-line
}

func (s *stream) write(line []byte) error {
	if s.torn {
		// The torn line cannot be completed, but this one must start on a new line.
		line = append([]byte{'\n'}, line...)
	}
	n, err := s.w.Write(line)
	if err == nil {
		s.torn = false
	} else if n > 0 {
		s.torn = true
	}
	return err
}

// unclosable is a Writer that the sink must not close.
type unclosable struct{ io.Writer }

func (unclosable) Close() error { return nil }

func newSink(s settings, f formatter) *sink {
	out := &sink{
		path:   s.path,
		quiet:  s.quiet,
		format: f,
		stderr: stream{w: unclosable{s.stderr}},
	}
	if s.path == "" {
		out.queue = lossy.New(maxWaiting, out.writeStderr, out.countLost)
		return out
	}
	out.log = &logFile{path: s.path, max: int64(s.maxMB) << 20, backups: s.backups, warn: out.warn}
	out.queue = lossy.New(maxWaiting, out.writeFile, out.countLost)
	out.spare = lossy.New(maxWaiting, out.writeStderr, nil)
	out.inFile.Store(true) // unless opening it fails
	out.reopen()
	out.queue.Flush(openTime)
	return out
}

// where returns the file that lines are written to, or "" for standard error.
func (s *sink) where() string {
	if !s.inFile.Load() {
		return ""
	}
	return s.path
}

// Write queues one line. It never fails, because logrus would print an error to
// standard error in its own format, and wait for that.
func (s *sink) Write(line []byte) (int, error) {
	s.queue.Put(line)
	return len(line), nil
}

// flush waits for all lines to be written, up to limit each for the file and standard
// error.
func (s *sink) flush(limit time.Duration) bool {
	ok := s.queue.Flush(limit)
	return ok && (s.spare == nil || s.spare.Flush(limit))
}

// reopen makes the writer close the file if it is open, and open the one at path before
// it writes any later line. reopen itself does not wait.
func (s *sink) reopen() {
	if s.path == "" || !s.reopening.CompareAndSwap(false, true) {
		return
	}
	s.queue.Do(func() {
		s.reopening.Store(false)
		s.closeFile()
		s.open()
	})
}

// close writes the queued lines and closes the file. It does not wait for a stuck file
// or standard error.
func (s *sink) close() {
	if s.path != "" {
		s.queue.Do(s.closeFile)
	}
	s.queue.Close(closeTime)
	if s.spare != nil {
		s.spare.Close(closeTime)
	}
}

// writeFile writes one line to the file or, if that fails, passes it on to standard
// error. It runs in queue's writer.
func (s *sink) writeFile(line []byte) { s.deliver(line, s.toFile) }

// writeStderr writes one line to standard error, in the writer that owns it.
func (s *sink) writeStderr(line []byte) { s.deliver(line, s.stderr.write) }

// deliver writes a line, preceded by a report of any lines lost before it. A line that
// cannot be written is counted as lost.
func (s *sink) deliver(line []byte, write func([]byte) error) {
	if s.report(write) != nil || write(line) != nil {
		s.lost.Add(1)
	}
}

// report writes the number of lost lines, if any.
func (s *sink) report(write func([]byte) error) error {
	n := s.lost.Swap(0) // of the two writers, only one reports a given loss
	if n == 0 {
		return nil
	}
	if err := write(s.line("%d log lines were lost here: they could not be written", n)); err != nil {
		s.lost.Add(n)
		return err
	}
	return nil
}

// countLost counts lines dropped by the queue, and reports them if it can.
func (s *sink) countLost(n int) {
	s.lost.Add(int64(n))
	write := s.toFile
	if s.path == "" {
		write = s.stderr.write
	}
	_ = s.report(write) // if this fails, it is retried with the next line
}

var errNoRoom = errors.New("can no longer write to standard error")

// toFile writes a line to the file, or queues it for standard error.
func (s *sink) toFile(line []byte) error {
	if s.file.w == nil && !time.Now().Before(s.retry) {
		s.open()
	}
	if s.file.w != nil {
		err := s.file.write(line)
		if err == nil {
			s.warned = false
			return nil
		}
		s.fail(err)
	}
	if !s.spare.Put(line) {
		return errNoRoom
	}
	return nil
}

// open tries to open the file.
func (s *sink) open() {
	if err := s.log.open(); err != nil {
		s.fail(err)
		return
	}
	s.file.w = s.log
	s.inFile.Store(true)
}

// closeFile closes the file, if it is open.
func (s *sink) closeFile() {
	if s.file.w != nil {
		_ = s.file.w.Close() // all lines have been handed to the kernel
	}
	s.file.w, s.file.torn = nil, false
}

// fail stops using the file for a while and warns once.
func (s *sink) fail(err error) {
	torn := s.file.torn
	s.closeFile()
	s.file.torn = torn // if it becomes writable again, it still ends in that torn line
	s.inFile.Store(false)
	s.retry = time.Now().Add(retryFile)
	if s.warned {
		return
	}
	s.warned = true
	if s.quiet && errors.Is(err, fs.ErrPermission) {
		return
	}
	s.spare.Put(s.line("cannot write the log file: %v; logging to standard error", err))
}

// warn writes a warning about the file to the file itself.
func (s *sink) warn(format string, a ...any) {
	_ = s.file.write(s.line(format, a...)) // if this fails, writing the next line fails too, and that is handled
}

// line formats one of the sink's own lines.
func (s *sink) line(format string, a ...any) []byte {
	b, _ := s.format.appendLine(nil, time.Now(), LevelWarn, record{cat: mainTag, text: quote(fmt.Sprintf(format, a...))})
	return b
}
