//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// otherSignals are signals that do not stop the process.
var otherSignals = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1}

// other handles one of them: SIGHUP reloads the certificates, rules and users, SIGUSR1
// reopens the log after another program has renamed it.
func (p *process) other(sig os.Signal) {
	switch sig {
	case syscall.SIGHUP:
		p.reload()
	case syscall.SIGUSR1:
		p.log.Reopen()
	}
}

// surviveBrokenPipes makes writes to standard output and error fail when their reader
// is gone; otherwise the runtime would end the process by SIGPIPE. It is never undone:
// the last line may be main's.
func surviveBrokenPipes() { signal.Ignore(syscall.SIGPIPE) }
