package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"tunnels/internal/netx"
	"tunnels/internal/resolve"
)

// ServerConfig configures RunServer.
type ServerConfig struct {
	Network, Address string         // where the server listens
	DNS              resolve.Config // configuration of the server's resolver
	Host             string         // name to look up
	Timeout          time.Duration  // for each step
	Congestion       netx.Congestion
}

// RunServer is the counterpart of Run on a server. It checks whether the server can
// listen and whether its resolver can resolve the target's name. A port in use is not a
// failure, because the server itself may be using it.
func RunServer(ctx context.Context, cfg ServerConfig, report func(Step)) bool {
	listen := tryListen(ctx, cfg.Network, cfg.Address)
	report(listen)
	if s, ok := usableCongestion(cfg.Congestion, cfg.Network, cfg.Address); ok {
		report(s)
	}
	names := tryResolve(ctx, cfg)
	report(names)
	return !listen.Failed && !names.Failed
}

// tryListen checks that it is possible to listen on the address.
func tryListen(ctx context.Context, network, address string) Step {
	s := Step{Name: "listen", Text: address}
	if strings.HasPrefix(network, "unix") {
		s.Text += ", a UNIX socket, was not tried"
		return s
	}
	ln, err := netx.Listen(ctx, network, address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		s.Text += " is in use; if not by this server, choose a different port"
	case err != nil:
		s.Text, s.Failed = err.Error(), true
	default:
		_ = ln.Close()
	}
	return s
}

// tryResolve checks that the server's resolver can resolve the host.
func tryResolve(ctx context.Context, cfg ServerConfig) Step {
	s := Step{Name: "resolve"}
	r := resolve.New(cfg.DNS)
	defer r.Close()
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	begin := time.Now()
	ips, err := r.Lookup(ctx, "", cfg.Host)
	s.Took = time.Since(begin)
	if err != nil {
		s.Text, s.Failed = err.Error()+"; other resolvers can be set with "+cmp.Or(cfg.DNS.Name, "the list of DNS servers"), true
		return s
	}
	s.Text = fmt.Sprintf("%s is %s", cfg.Host, ips[0])
	return s
}
