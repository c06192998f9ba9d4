package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	benchmark "tunnels/internal/bench"
)

// bench implements the verb bench, which compares SOCKS5 proxies.
func bench(c call, args []string) error {
	ctx, stop := signal.NotifyContext(c.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := benchmark.Run(ctx, args, versionLine(), c.stdout, c.stderr)
	if errors.Is(err, benchmark.ErrUsage) {
		return usagef("%s", strings.TrimPrefix(err.Error(), benchmark.ErrUsage.Error()+": "))
	}
	return err
}

// benchHelp writes the verb's help, which package bench defines.
func benchHelp(w io.Writer) error {
	return benchmark.Run(context.Background(), []string{"-h"}, versionLine(), w, io.Discard)
}
