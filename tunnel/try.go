package tunnel

import (
	"context"

	"tunnels/eagersocks"
	"tunnels/internal/trial"
)

// Step is one step on the way to a target, as reported by Try.
type Step = trial.Step

// Try follows the path from a client to one of its servers step by step and requests
// target, a host:port, from the exit. It reports each step and returns whether all
// succeeded. Each step is limited by cfg's dial timeout and by ctx. No client needs to
// be running, and a running one is not disturbed.
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
		Remux: cfg.Remux, Target: to, Timeout: cfg.dialTimeout(), Congestion: cfg.Congestion,
		Allow: cfg.Allow.Called(""), Rules: cfg.Names.Rules,
	}, report), nil
}

// TryServer is the counterpart of Try on a server: it checks whether the server can
// listen and whether its resolver can resolve the target's name. A port in use is not a
// failure, because the server itself may be using it.
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
		Congestion: cfg.Congestion,
	}, report), nil
}
