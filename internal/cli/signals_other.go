//go:build !unix

package cli

import "os"

// otherSignals are signals that do not stop the process: there are none on this system.
var otherSignals []os.Signal

func (p *process) other(os.Signal) {}

// surviveBrokenPipes does nothing: without SIGPIPE such writes simply fail.
func surviveBrokenPipes() {}
