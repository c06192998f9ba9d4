package sla

import (
	"sync"
	"sync/atomic"
)

var (
	standard atomic.Pointer[Logger] // nil until SetDefault

	// toStderr returns the default until SetDefault is called. It need not be closed.
	toStderr = sync.OnceValue(func() *Logger {
		s, _ := Config{}.settle() // the zero Config is valid
		return newLogger(s, nil)
	})
)

// SetDefault sets the Logger used by the package's functions. With nil it restores the
// initial one, which logs at level info to standard error. The previous one is not
// closed.
func SetDefault(l *Logger) { standard.Store(l) }

// Default returns the Logger used by the package's functions.
func Default() *Logger {
	if l := standard.Load(); l != nil {
		return l
	}
	return toStderr()
}

// Debug calls [Logger.Debug] of the default Logger.
func Debug(format string, a ...any) { Default().Debug(format, a...) }

// Info calls [Logger.Info] of the default Logger.
func Info(format string, a ...any) { Default().Info(format, a...) }

// Warn calls [Logger.Warn] of the default Logger.
func Warn(format string, a ...any) { Default().Warn(format, a...) }

// Error calls [Logger.Error] of the default Logger.
func Error(format string, a ...any) { Default().Error(format, a...) }

// Fatal calls [Logger.Fatal] of the default Logger.
func Fatal(format string, a ...any) { Default().Fatal(format, a...) }
