package upstream

import (
	"context"
	ctls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"tunnels/internal/netx"
	"tunnels/remux"
)

const (
	contactEvery = 10 * time.Millisecond // polling interval until contactSoon has passed; then contactLater
	contactSoon  = time.Second
	contactLater = time.Second
	// contactRetry is how often to retry an unreachable server after its pool has
	// stopped retrying.
	contactRetry = 30 * time.Second
	// PongMax is how long to wait for the response to a PING. A server that supports
	// only the four-byte frame never sends one.
	PongMax = 300 * time.Millisecond
)

// Contact waits until a server responds and returns its address and round-trip time, or
// 0 if that cannot be measured. If ctx is done first, the error says why no server
// responded.
func (s *Set) Contact(ctx context.Context) (server string, rtt time.Duration, err error) {
	tick := time.NewTicker(contactEvery)
	defer tick.Stop()
	began := time.Now()
	probed, up := began, map[*Server]time.Time{}
	for {
		why, answers := error(nil), ""
		for _, v := range s.all {
			state, err := v.Link.Health()
			if state != remux.Up {
				why = fmt.Errorf("%s: %w", v.Address, contactError(state, err))
				continue
			}
			if rtt, ok := v.Link.RTT(); ok {
				return v.Address, rtt, nil
			}
			answers = v.Address
			if up[v].IsZero() {
				up[v] = time.Now()
				v.Link.Probe() // measure the round trip
			} else if time.Since(up[v]) > PongMax {
				return v.Address, 0, nil
			}
		}
		if time.Since(probed) > contactRetry {
			probed = time.Now()
			for _, v := range s.all {
				v.Link.Probe()
			}
		}
		if time.Since(began) > contactSoon {
			tick.Reset(contactLater)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if answers != "" {
				return answers, 0, nil
			}
			return "", 0, why
		}
	}
}

// contactError returns why a server has not responded, with a hint about the likely
// cause.
func contactError(state remux.State, err error) error {
	if err == nil || state == remux.Unknown {
		return errors.New("no response yet; is its port open in the firewall?")
	}
	return errors.New(err.Error() + Hint(err))
}

// Hint returns a likely reason why a server cannot be reached, to be appended to a
// message, or "".
func Hint(err error) string {
	_, noTLS := errors.AsType[ctls.RecordHeaderError](err)
	op, _ := errors.AsType[*net.OpError](err)
	timeout, _ := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	if op != nil && op.Op == "dial" && op.Addr != nil && errors.Is(err, syscall.EINVAL) {
		if problem := netx.ZoneProblem(op.Addr.String()); problem != "" {
			return "; " + problem
		}
	}
	switch {
	case noTLS:
		return "; something other than a tunnels server is listening there: a SOCKS or HTTP proxy?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "; is the server running, and is this its port?"
	case timeout != nil && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "; is its port open in the firewall?"
	case (op == nil || op.Op != "dial") && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return "; is the program listening there a tunnels server?"
	}
	return ""
}
