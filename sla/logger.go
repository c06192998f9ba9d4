package sla

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// flushTime is how long Close and Fatal wait for the robot.
const flushTime = 5 * time.Second

// Logger writes the service log. Its methods may be called from any goroutine.
type Logger struct {
	rus    *logrus.Logger // its own locks
	out    *sink          // its own lock
	alerts *alerter       // nil: no alerts
	exit   func(code int) // set before the Logger is shared

	counts    [len(categories)]counter
	closeOnce sync.Once
}

// counter counts what is open of one category.
type counter struct {
	mu sync.Mutex   // held while n changes and its line is queued, so that lines stand in the order of the count
	n  atomic.Int64 // written under mu, read by anyone
}

// New makes a Logger, opens its file and, if there is a robot, starts the
// goroutine that alerts it. A file that cannot be written is no error: lines go
// to standard error, after one that says so. The errors are those of
// [Config.Validate]. The caller must Close the Logger.
func New(c Config) (*Logger, error) {
	s, err := c.settle()
	if err != nil {
		return nil, err
	}
	return newLogger(s, newTransport()), nil
}

// newLogger makes a Logger that reaches the robot by rt.
func newLogger(s settings, rt http.RoundTripper) *Logger {
	f := formatter{json: s.json}
	l := &Logger{
		out:  newSink(s, f),
		exit: os.Exit,
	}
	l.rus = &logrus.Logger{
		Out:       l.out,
		Hooks:     make(logrus.LevelHooks),
		Formatter: f,
		Level:     levels[s.level].rus,
	}
	if s.robot != nil {
		s.robot.rt = rt
		l.alerts = newAlerter(s.robot, l)
		l.rus.AddHook(l.alerts)
		go l.alerts.run()
	}
	return l
}

// Debug logs a message at level debg; format and a are those of [fmt.Sprintf].
// A text from outside belongs into a, never into format.
func (l *Logger) Debug(format string, a ...any) { l.message(LevelDebug, format, a...) }

// Info logs a message at level info, as Debug does.
func (l *Logger) Info(format string, a ...any) { l.message(LevelInfo, format, a...) }

// Warn logs a message at level warn, as Debug does.
func (l *Logger) Warn(format string, a ...any) { l.message(LevelWarn, format, a...) }

// Error logs a message at level erro, as Debug does, and alerts.
func (l *Logger) Error(format string, a ...any) { l.message(LevelError, format, a...) }

// Fatal logs a message at level fata, as Debug does, and alerts; then it closes
// the Logger, which takes up to 5 s, and ends the process with exit code 1.
// It is for main alone: everyone else returns an error.
func (l *Logger) Fatal(format string, a ...any) {
	l.message(LevelFatal, format, a...)
	l.Close()
	l.exit(1)
}

// SetExit replaces os.Exit in Fatal. It must be called before the Logger is
// shared.
func (l *Logger) SetExit(exit func(code int)) { l.exit = exit }

// SetLevel hides the lines below level from now on.
func (l *Logger) SetLevel(level Level) { l.rus.SetLevel(levels[level].rus) }

// Enabled reports whether lines at level are shown. It costs one atomic load.
func (l *Logger) Enabled(level Level) bool { return l.rus.IsLevelEnabled(levels[level].rus) }

// File is the file that lines go to now, empty if it is standard error: because
// that was wanted, or because the file cannot be written.
func (l *Logger) File() string { return l.out.where() }

// Reopen closes the file and opens the one that now has its name, or makes it.
// It is what a program that moves log files away wants to happen afterwards,
// usually on SIGUSR1. It does not wait: the lines logged before still go to the
// old file, those logged afterwards to the new one.
func (l *Logger) Reopen() { l.out.reopen() }

// Flush waits until the lines logged so far have been written, for at most
// limit, and reports whether they were. Nothing but Flush and Close waits for
// the file or for standard error.
func (l *Logger) Flush(limit time.Duration) bool { return l.out.flush(limit) }

// Close sends the alerts that are waiting, for at most 5 s, writes the lines
// that are waiting, for at most 1 s each for file and standard error, and closes
// the file. Lines logged afterwards are dropped and alert nobody. Calling it
// again does nothing.
func (l *Logger) Close() {
	l.closeOnce.Do(func() {
		if l.alerts != nil {
			l.alerts.close(flushTime)
		}
		l.out.close()
	})
}

// message logs what does not belong to a category.
func (l *Logger) message(level Level, format string, a ...any) {
	if !l.Enabled(level) {
		return
	}
	text := strings.TrimRight(fmt.Sprintf(format, a...), "\r\n")
	l.log(level, record{cat: mainTag, text: quote(text)})
}

// log hands a record to logrus, which calls the alerter, then the formatter,
// then the sink, which queues the line, all before it returns.
func (l *Logger) log(level Level, r record) {
	e := logrus.Entry{Logger: l.rus, Data: logrus.Fields{recordKey: r}}
	e.Log(levels[level].rus)
}
