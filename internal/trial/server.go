package tunnel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/netx"
	"tunnels/internal/resolve"
)

// TryServer does what Try does for a server, as far as it can be known from there:
// whether it can listen, and whether its resolver knows the target's name. A port
// that is in use is no failure, as it may be by the very server.
func TryServer(ctx context.Context, cfg Config, target string, report func(Step)) (bool, error) {
	to, err := eagersocks.ParseAddress(target)
	if err != nil {
		return false, err
	}
	w, err := cfg.way()
	if err != nil {
		return false, err
	}
	listen := tryListen(ctx, w.network, cfg.ServerAddr)
	report(listen)
	names := tryResolve(ctx, &cfg, to.Host)
	report(names)
	return !listen.Failed && !names.Failed, nil
}

func tryListen(ctx context.Context, network, address string) Step {
	s := Step{Name: "listen", Text: address}
	if strings.HasPrefix(network, "unix") {
		s.Text += ", a UNIX socket, was not tried"
		return s
	}
	ln, err := netx.Listen(ctx, network, address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		s.Text += " is in use; if not by this server, choose another port"
	case err != nil:
		s.Text, s.Failed = err.Error(), true
	default:
		_ = ln.Close()
	}
	return s
}

func tryResolve(ctx context.Context, cfg *Config, host string) Step {
	s := Step{Name: "resolve"}
	r, err := resolve.New(cfg.DNS)
	if err != nil {
		return Step{Name: "resolve", Text: "-server.dns: " + err.Error(), Failed: true}
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(ctx, cfg.dialTimeout())
	defer cancel()
	begin := time.Now()
	ips, err := r.Lookup(ctx, "", host)
	s.Took = time.Since(begin)
	if err != nil {
		s.Text, s.Failed = err.Error()+"; -server.dns chooses other resolvers", true
		return s
	}
	s.Text = fmt.Sprintf("%s is %s", host, ips[0])
	return s
}
