package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// tied makes a child die with this process, and puts it in its own process group.
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// killGroup kills a child started with tied, and its children.
func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }

// raiseLimits raises the file descriptor limit as far as possible, also for children that
// do not raise it themselves, and returns it.
func raiseLimits() (uint64, error) {
	const want = 1 << 17
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("file descriptor limit: %w", err)
	}
	if l.Max < want { // root may raise the hard limit
		if more := (syscall.Rlimit{Cur: want, Max: want}); syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil {
			return want, nil
		}
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("file descriptor limit: %w", err)
	}
	return l.Cur, nil
}

// cpuTime returns the CPU time used by the processes and their descendants, including
// those that have exited and been reaped.
func cpuTime(pids []int) (time.Duration, error) {
	var sum time.Duration
	all, err := family(pids)
	if err != nil {
		return 0, err
	}
	for _, pid := range all {
		// The process's own clock has nanosecond resolution; /proc counts hundredths of a
		// second.
		const schedClock = 2
		var ts syscall.Timespec
		if _, _, e := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(^int32(pid)<<3|schedClock), uintptr(unsafe.Pointer(&ts)), 0); e != 0 {
			if slices.Contains(pids, pid) {
				return 0, fmt.Errorf("CPU time of process %d: %w", pid, e)
			}
			continue // a descendant that just exited
		}
		sum += time.Duration(ts.Nano())
		fields, err := statFields(pid)
		if err != nil {
			continue
		}
		for _, waitedFor := range fields[16:18] { // cutime, cstime
			ticks, _ := strconv.ParseInt(waitedFor, 10, 64)
			sum += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
		}
	}
	return sum, nil
}

// statFields returns the fields of /proc/PID/stat, indexed as in proc(5). The fields up
// to the name, which may contain spaces, are left empty.
func statFields(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields after the name, want 20 or more", pid, len(fields))
	}
	return append(make([]string, 3), fields...), nil
}

// family returns pids and all their descendants.
func family(pids []int) ([]int, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if fields, err := statFields(pid); err == nil {
			parent, _ := strconv.Atoi(fields[4])
			children[parent] = append(children[parent], pid)
		}
	}
	all := slices.Clone(pids)
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// residentMemory returns the resident memory of the processes and their descendants, in
// bytes.
func residentMemory(pids []int) (int64, error) {
	all, err := family(pids)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, pid := range all {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			if slices.Contains(pids, pid) {
				return 0, fmt.Errorf("memory of process %d: %w", pid, err)
			}
			continue
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				if err != nil {
					return 0, fmt.Errorf("memory of process %d: %w", pid, err)
				}
				sum += kib << 10
			}
		}
	}
	return sum, nil
}

// listenerOf returns the process listening on a TCP address of this machine.
func listenerOf(addr string) (int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0, errors.New("it is on another machine")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, err
	}
	suffix := fmt.Sprintf(":%04X", n)
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, _ := os.ReadFile(file)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > 9 && strings.HasSuffix(f[1], suffix) && f[3] == "0A" { // 0A: listening
				if pid := holderOf("socket:[" + f[9] + "]"); pid != 0 {
					return pid, nil
				}
			}
		}
	}
	return 0, errors.New("none of our processes is listening there")
}

// holderOf returns a process that has the file open, or 0 if we find none that we may
// inspect.
func holderOf(file string) int {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == file {
			pid, _ := strconv.Atoi(strings.Split(l, "/")[2])
			return pid
		}
	}
	return 0
}

// cpuModel returns the processor's model name.
func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kernel returns the name and version of the running kernel.
func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(b))
}
