package tunnel

import (
	"context"

	"tunnels/eagersocks"
	"tunnels/internal/trial"
)

// Step is one step on the way to a target, as Try takes them.
type Step = trial.Step

// Try goes the way from a client to one of its servers, step by step, and makes one
// request of the exit, for a target that is host:port. It reports each step, and
// returns whether all went well. Each is bounded by cfg's dial timeout, or ends with
// ctx. No client needs to run, and none that runs is disturbed.
func Try(ctx context.Context, cfg Config, address, target string, report func(Step)) (bool, error) {
	to, err := eagersocks.ParseAddress(target)
	if err != nil {
		return false, err
	}
	cfg.Events, cfg.ServerAddr, cfg.Servers, cfg.ClientUsers = nil, address, nil, ""
	c, err := NewClient(cfg)
	if err != nil {
		return false, err
	}
	defer c.Close()
	return trial.Run(ctx, trial.Config{
		Network: c.way.network, Address: address, TLS: c.tls, Mux: c.way.mux,
		Remux: cfg.Remux, Target: to, Timeout: cfg.dialTimeout(),
		Allow: cfg.Allow.Called(""), Rules: cfg.Names.Rules,
	}, report), nil
}

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
	return trial.RunServer(ctx, trial.ServerConfig{
		Network: w.network, Address: cfg.ServerAddr, DNS: cfg.DNS, Host: to.Host, Timeout: cfg.dialTimeout(),
	}, report), nil
}
