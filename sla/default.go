package sla

import (
	"sync"
	"sync/atomic"
)

var (
	standard atomic.Pointer[Logger] // nil until SetDefault

	// toStderr is the default until there is another. Nothing has to close it.
	toStderr = sync.OnceValue(func() *Logger {
		s, _ := Config{}.settle() // the zero Config is valid
		return newLogger(s, nil)
	})
)

// SetDefault makes l the Logger of the package's functions; nil makes it again
// the one they start with, which logs at level info to standard error. The
// former one is not closed.
func SetDefault(l *Logger) { standard.Store(l) }

// Default is the Logger of the package's functions.
func Default() *Logger {
	if l := standard.Load(); l != nil {
		return l
	}
	return toStderr()
}

// Debug is [Logger.Debug] of the default Logger.
func Debug(format string, a ...any) { Default().Debug(format, a...) }

// Info is [Logger.Info] of the default Logger.
func Info(format string, a ...any) { Default().Info(format, a...) }

// Warn is [Logger.Warn] of the default Logger.
func Warn(format string, a ...any) { Default().Warn(format, a...) }

// Error is [Logger.Error] of the default Logger.
func Error(format string, a ...any) { Default().Error(format, a...) }

// Fatal is [Logger.Fatal] of the default Logger.
func Fatal(format string, a ...any) { Default().Fatal(format, a...) }
