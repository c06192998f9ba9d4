//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// otherSignals are those that do not stop the process.
var otherSignals = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1}

// other acts on one of them: SIGHUP reads the certificates and users
// again, SIGUSR1 opens the log anew after another program has moved it.
func (p *process) other(sig os.Signal) {
	switch sig {
	case syscall.SIGHUP:
		p.reload()
	case syscall.SIGUSR1:
		p.log.Reopen()
	}
}

// surviveBrokenPipes lets writes to standard output and error fail when their
// reader has gone; the runtime would end the process by SIGPIPE. It is for
// good: the last line may be main's.
func surviveBrokenPipes() { signal.Ignore(syscall.SIGPIPE) }
