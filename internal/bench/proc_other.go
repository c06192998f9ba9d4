//go:build !linux

package bench

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
)

var errNoProc = errors.New("available on Linux only")

func tied() *syscall.SysProcAttr { return nil }

func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		p.Kill()
	}
}

func raiseLimits() (uint64, error)              { return 4096, nil }
func cpuTime([]int) (time.Duration, error)      { return 0, errNoProc }
func residentMemory([]int) (int64, error)       { return 0, errNoProc }
func listenerOf(addr string) (pid int, _ error) { return 0, errNoProc }
func cpuModel() string                          { return "" }
func kernel() string                            { return runtime.GOOS }
