package upstream

import (
	"context"
	ctls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestHint(t *testing.T) {
	dial := func(errno error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	read := func(err error) error { return fmt.Errorf("server a:1: %w", &net.OpError{Op: "read", Err: err}) }
	for _, tt := range []struct {
		err  error
		want string // part of the hint, or empty for none
	}{
		{dial(syscall.ECONNREFUSED), "is the server running"},
		{errors.Join(dial(syscall.ENETUNREACH), dial(syscall.ECONNREFUSED)), "is the server running"},
		{dial(syscall.ETIMEDOUT), "firewall"},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, "firewall"},
		{fmt.Errorf("a:1: %w", context.DeadlineExceeded), "firewall"},
		{read(syscall.ECONNRESET), "a tunnels server?"},
		{fmt.Errorf("the server closed the connection: %w", io.EOF), "a tunnels server?"},
		{fmt.Errorf("the server does not speak TLS: %w", ctls.RecordHeaderError{}), "something other than a tunnels server"},
		{&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 443}, Err: syscall.EINVAL}, "[fe80::1%INTERFACE]:443"},
		{dial(syscall.ENETUNREACH), ""},
		{dial(syscall.ECONNRESET), ""},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, ""},
		{errors.New("the server refused this client's certificate"), ""},
	} {
		if got := Hint(tt.err); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("Hint(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
}
