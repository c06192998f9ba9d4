//go:build !unix

package cli

import "os"

// otherSignals lists the signals that do not stop the process: none on this system.
var otherSignals []os.Signal

func (p *process) other(os.Signal) {}

// surviveBrokenPipes does nothing: without SIGPIPE, such writes just fail.
func surviveBrokenPipes() {}
