package sla

import (
	"sync"
	"sync/atomic"
)

var (
	standard atomic.Pointer[Logger] // nil until SetDefault

	// toStderr returns the Logger used until SetDefault is called. It need not be
	// closed.
	toStderr = sync.OnceValue(func() *Logger {
		s, _ := Config{}.settle() // the zero Config is valid
		return newLogger(s, nil)
	})
)

// SetDefault sets the Logger used by the package-level functions. nil restores the
// initial one, which logs at level info to standard error. The previous Logger is not
// closed.
func SetDefault(l *Logger) { standard.Store(l) }

// Default returns the Logger used by the package-level functions.
func Default() *Logger {
	if l := standard.Load(); l != nil {
		return l
	}
	return toStderr()
}

// Debug calls [Logger.Debug] on the default Logger.
func Debug(format string, a ...any) { Default().Debug(format, a...) }

// Info calls [Logger.Info] on the default Logger.
func Info(format string, a ...any) { Default().Info(format, a...) }

// Warn calls [Logger.Warn] on the default Logger.
func Warn(format string, a ...any) { Default().Warn(format, a...) }

// Error calls [Logger.Error] on the default Logger.
func Error(format string, a ...any) { Default().Error(format, a...) }

// Fatal calls [Logger.Fatal] on the default Logger.
func Fatal(format string, a ...any) { Default().Fatal(format, a...) }
