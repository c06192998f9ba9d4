package loglines

import (
	"fmt"
	"io"
	"syscall"
	"testing"

	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/events"
	"tunnels/internal/loglines/logtest"
	"tunnels/sla"
)

// TestEndLevels checks that the level of a sock's closing line depends on why the sock
// was closed.
func TestEndLevels(t *testing.T) {
	coded := func(c code.Code) error { return fmt.Errorf("wrapped: %w", &code.Error{Code: c}) }
	for _, tt := range []struct {
		err       error
		plain     bool
		udp       bool
		cancelled bool
		want      string
	}{
		{err: nil, want: "info"},
		{err: io.EOF, cancelled: true, want: "info"},
		{err: coded(code.NetUnreachable), want: "info"},
		{err: coded(code.HostUnreachable), want: "info"},
		{err: coded(code.Refused), want: "info"},
		{err: coded(code.Timeout), want: "info"},
		{err: coded(code.TargetReset), want: "info"},
		{err: coded(code.Cancelled), want: "info"},
		{err: coded(code.CommandUnsupported), want: "info"},
		{err: coded(code.NotAllowed), want: "warn"},
		{err: coded(code.NotAuthorised), want: "warn"},
		{err: coded(code.General), want: "erro"},
		{err: coded(code.Protocol), want: "erro"},
		{err: coded(code.FlowControl), want: "erro"},
		{err: io.ErrUnexpectedEOF, want: "erro"},
		{err: syscall.ECONNRESET, want: "erro"},
		{err: syscall.ECONNRESET, plain: true, want: "info"},
		{err: syscall.ECONNRESET, plain: true, udp: true, want: "erro"},
	} {
		log := new(logtest.Buffer)
		l := log.Logger(t)
		j := New(l)
		r := events.NewRequest("", "a.test:80")
		r.Plain = tt.plain
		r.Start()
		j.Events().RequestStarted(r)
		end := events.End{Err: tt.err, Cancelled: tt.cancelled}
		if tt.udp {
			end.Datagrams = new(datagram.Counts)
		}
		j.Events().RequestClosed(r, end)
		j.Close()
		log.Wait(t, fmt.Sprint(tt.err), "["+tt.want+"] [sock] - a.test:80 = 0 up=0 down=0 sec=")
		if n := l.Count(sla.Sock); n != 0 {
			t.Errorf("%v: %d socks are open", tt.err, n)
		}
		l.Close()
	}
}
