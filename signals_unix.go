//go:build unix

package main

import (
	"os"
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
