package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/code"
	"tunnels/internal/netx"
	"tunnels/internal/policy"
	"tunnels/internal/splice"
)

// exit resolves targets and connects to them, under a policy. Static after
// construction.
type exit struct {
	policy  policy.Exit
	timeout time.Duration
}

func newExit(cfg *Config) (*exit, error) {
	e := &exit{timeout: cfg.dialTimeout()}
	var err error
	if e.policy.Allow, err = policy.Parse(strings.Join(cfg.Allow, ",")); err != nil {
		return nil, fmt.Errorf("-server.allow: %w", err)
	}
	if e.policy.Deny, err = policy.Parse(strings.Join(cfg.Deny, ",")); err != nil {
		return nil, fmt.Errorf("-server.deny: %w", err)
	}
	return e, nil
}

// dial connects to the target. The policy is asked before a name is resolved
// and again for each address before it is dialled, so that a name cannot lead
// to where an address may not. The error is always a *code.Error.
func (e *exit) dial(ctx context.Context, target eagersocks.Address) (splice.Stream, error) {
	if err := e.policy.AllowName(target.Host, target.Port); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	via := target.Host
	if _, err := netip.ParseAddr(via); err == nil {
		via = ""
	}
	d := netx.Dialer(0)
	d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("address %q to be dialled: %w", address, err)
		}
		return e.policy.AllowAddr(a, via)
	}
	c, err := d.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return nil, dialError(err)
	}
	return c.(*net.TCPConn), nil
}

// dialError gives err the code that the application should see.
func dialError(err error) *code.Error {
	if e, ok := errors.AsType[*code.Error](err); ok {
		return e
	}
	return &code.Error{Code: dialCode(err), Text: err.Error()}
}

func dialCode(err error) code.Code {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsTimeout {
			return code.Timeout
		}
		return code.HostUnreachable
	}
	switch {
	case isErrno(err, syscall.ECONNREFUSED, 10061):
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

// isErrno compares with the number that Windows has for it, too: package
// syscall invents others there.
func isErrno(err error, unix, windows syscall.Errno) bool {
	return errors.Is(err, unix) || runtime.GOOS == "windows" && errors.Is(err, windows)
}
