//go:build !linux

package netx

import (
	"errors"
	"time"
)

// congestionSocket is a congestible on a system where no algorithm can be chosen.
type congestionSocket struct {
	control func(func(fd uintptr)) error
}

func unconnected() (s congestible, stop func(), err error) {
	return nil, nil, errors.New("an algorithm can be chosen only on Linux")
}

func (congestionSocket) congestion() (string, time.Duration, error) {
	return "", 0, errors.ErrUnsupported
}

func (congestionSocket) setCongestion(string) error { return errors.ErrUnsupported }

func (congestionSocket) offered() []string { return nil }
