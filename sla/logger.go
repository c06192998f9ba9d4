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
	rus    *logrus.Logger // has its own locks
	out    *sink          // has its own lock
	alerts *alerter       // nil if there are no alerts
	exit   func(code int) // set before the Logger is shared

	counts    [len(categories)]counter
	closeOnce sync.Once
}

// counter counts the open conns, sessions or sockets of one category.
type counter struct {
	mu sync.Mutex   // held while n changes and its line is queued, so that lines appear in the order of their counts
	n  atomic.Int64 // written under mu, read without it
}

// New returns a Logger. It opens the file and, if there is a robot, starts the
// goroutine that sends alerts. It is not an error if the file cannot be written: a
// warning is logged and lines go to standard error. The errors are those returned by
// [Config.Validate]. The caller must Close the Logger.
func New(c Config) (*Logger, error) {
	s, err := c.settle()
	if err != nil {
		return nil, err
	}
	return newLogger(s, newTransport()), nil
}

// newLogger returns a Logger that reaches the robot through rt.
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

// Debug logs a message at level debug; format and a are used as in [fmt.Sprintf].
// Untrusted text belongs in a, never in format.
func (l *Logger) Debug(format string, a ...any) { l.message(LevelDebug, format, a...) }

// Info is like Debug, but logs at level info.
func (l *Logger) Info(format string, a ...any) { l.message(LevelInfo, format, a...) }

// Warn is like Debug, but logs at level warn.
func (l *Logger) Warn(format string, a ...any) { l.message(LevelWarn, format, a...) }

// Error is like Debug, but logs at level erro, which sends an alert.
func (l *Logger) Error(format string, a ...any) { l.message(LevelError, format, a...) }

// Fatal is like Debug, but logs at level fata, which sends an alert. Then it closes the
// Logger, which takes up to 5 s, and exits the process with code 1. It is only for
// main; all other code should return an error.
func (l *Logger) Fatal(format string, a ...any) {
	l.message(LevelFatal, format, a...)
	l.Close()
	l.exit(1)
}

// SetExit replaces os.Exit in Fatal. It must be called before the Logger is
// shared.
func (l *Logger) SetExit(exit func(code int)) { l.exit = exit }

// SetLevel hides later lines that are below level.
func (l *Logger) SetLevel(level Level) { l.rus.SetLevel(levels[level].rus) }

// Enabled reports whether lines at level are shown. It costs one atomic load.
func (l *Logger) Enabled(level Level) bool { return l.rus.IsLevelEnabled(levels[level].rus) }

// File returns the file that lines are being written to, or "" if they go to standard
// error, either by configuration or because the file cannot be written.
func (l *Logger) File() string { return l.out.where() }

// Reopen closes the file and opens the one that now has its name, creating it if
// necessary. It is for use after another program has renamed the log file, usually in
// response to SIGUSR1. Reopen does not wait: lines logged before it still go to the old
// file, later ones to the new file.
func (l *Logger) Reopen() { l.out.reopen() }

// Flush waits up to limit for the lines logged so far to be written, and reports
// whether they were. Only Flush and Close wait for the file or standard error.
func (l *Logger) Flush(limit time.Duration) bool { return l.out.flush(limit) }

// Close sends pending alerts, which takes at most 5 s, writes pending lines, which
// takes at most 1 s each for the file and standard error, and closes the file. Lines
// logged afterwards are dropped and cause no alert. Further calls do nothing.
func (l *Logger) Close() {
	l.closeOnce.Do(func() {
		if l.alerts != nil {
			l.alerts.close(flushTime)
		}
		l.out.close()
	})
}

// message logs a line without a category.
func (l *Logger) message(level Level, format string, a ...any) {
	if !l.Enabled(level) {
		return
	}
	text := strings.TrimRight(fmt.Sprintf(format, a...), "\r\n")
	l.log(level, record{cat: mainTag, text: quote(text)})
}

// log passes a record to logrus, which calls the alerter, the formatter and the sink
// before it returns. The sink queues the line.
func (l *Logger) log(level Level, r record) {
	e := logrus.Entry{Logger: l.rus, Data: logrus.Fields{recordKey: r}}
	e.Log(levels[level].rus)
}
