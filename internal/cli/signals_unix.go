//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// otherSignals lists the signals that do not stop the process.
var otherSignals = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1}

// other handles one of otherSignals: SIGHUP reloads the certificates, rules and users,
// SIGUSR1 reopens the log after another program has renamed it.
func (p *process) other(sig os.Signal) {
	switch sig {
	case syscall.SIGHUP:
		p.reload()
	case syscall.SIGUSR1:
		p.log.Reopen()
	}
}

// surviveBrokenPipes makes writes to standard output and error fail when their reader
// is gone; otherwise SIGPIPE would kill the process. It is never undone: main may write
// the last line.
func surviveBrokenPipes() { signal.Ignore(syscall.SIGPIPE) }
