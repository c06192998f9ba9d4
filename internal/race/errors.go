package race

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"syscall"

	"tunnels/internal/code"
)

// maxNamed limits the number of failures in an error text, which is sent to the client
// in one small frame.
const maxNamed = 4

// failure records why connecting to an address failed.
type failure struct {
	to  netip.AddrPort
	err error
}

// telling lists codes by how much they reveal about a target, from most to least: it
// exists, it may exist, it is not allowed, nothing.
var telling = []code.Code{code.Refused, code.Timeout, code.HostUnreachable, code.NotAllowed, code.NetUnreachable}

// combine combines one or more failures into one error.
func combine(failures []failure) *code.Error {
	rank := func(f failure) int {
		if i := slices.Index(telling, Code(f.err)); i >= 0 {
			return i
		}
		return len(telling)
	}
	best := slices.MinFunc(failures, func(a, b failure) int { return rank(a) - rank(b) })
	if refusal, ok := errors.AsType[*code.Error](best.err); ok && (len(failures) == 1 || all(failures, code.NotAllowed)) {
		return refusal
	}
	text := ""
	for i, f := range failures {
		if i == maxNamed {
			text += fmt.Sprintf("; and %d more", len(failures)-i)
			break
		}
		if i > 0 {
			text += "; "
		}
		text += f.String()
	}
	return &code.Error{Code: Code(best.err), Text: text}
}

func all(failures []failure, c code.Code) bool {
	return !slices.ContainsFunc(failures, func(f failure) bool { return Code(f.err) != c })
}

// String returns the address and its error.
func (f failure) String() string {
	if e, ok := errors.AsType[*code.Error](f.err); ok { // its text already names the target
		return e.Error()
	}
	why := Code(f.err).String()
	if Code(f.err) == code.General || isReset(f.err) {
		why = f.err.Error()
		if op, ok := errors.AsType[*net.OpError](f.err); ok {
			why = op.Err.Error()
		}
	}
	return f.to.String() + ": " + why
}

// Code returns the code that an application should see for a connection error.
func Code(err error) code.Code {
	if c, ok := code.Of(err); ok {
		return c
	}
	switch {
	case isErrno(err, syscall.ECONNREFUSED, 10061), isReset(err):
		return code.Refused
	case isErrno(err, syscall.ENETUNREACH, 10051):
		return code.NetUnreachable
	case isErrno(err, syscall.EHOSTUNREACH, 10065):
		return code.HostUnreachable
	case isErrno(err, syscall.ETIMEDOUT, 10060), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return code.Timeout
	case errors.Is(err, context.Canceled):
		return code.Cancelled
	}
	return code.General
}

// isReset reports whether a connection was reset as soon as it was established, which
// connect itself may already report.
func isReset(err error) bool {
	return isErrno(err, syscall.ECONNRESET, 10054) || isErrno(err, syscall.ECONNABORTED, 10053)
}

// isErrno reports whether err is a given errno or its Windows counterpart, because
// package syscall defines different numbers there.
func isErrno(err error, unix, windows syscall.Errno) bool {
	return errors.Is(err, unix) || runtime.GOOS == "windows" && errors.Is(err, windows)
}
