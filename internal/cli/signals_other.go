//go:build !unix

package cli

import "os"

// otherSignals are those that do not stop the process: there are none here.
var otherSignals []os.Signal

func (p *process) other(os.Signal) {}

// surviveBrokenPipes does nothing: without SIGPIPE such writes just fail.
func surviveBrokenPipes() {}
