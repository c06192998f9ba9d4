package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	benchmark "tunnels/bench"
)

// bench is the verb of that name: SOCKS5 proxies side by side.
func bench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := benchmark.Run(ctx, args, versionLine(), stdout, stderr)
	if errors.Is(err, benchmark.ErrUsage) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return err
}
