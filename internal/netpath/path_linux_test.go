package netpath

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// option calls get with the socket of c.
func option[T any](t *testing.T, c *net.TCPConn, get func(fd int) (T, error)) T {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var value T
	if cerr := raw.Control(func(fd uintptr) { value, err = get(int(fd)) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return value
}

func congestion(t *testing.T, c *net.TCPConn) string {
	return option(t, c, func(fd int) (string, error) { return unix.GetsockoptString(fd, unix.SOL_TCP, unix.TCP_CONGESTION) })
}

// TestLoss: data arrives intact in spite of loss, and the kernel reports that it sent
// packets again.
func TestLoss(t *testing.T) {
	c := Symmetric(Link{Delay: time.Millisecond, Loss: 0.01})
	c.Seed = 1
	p := start(t, c)
	left, right := connect(t, p)
	pour(t, left, right, 2<<20)
	info := option(t, left, func(fd int) (*unix.TCPInfo, error) { return unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO) })
	got, _ := p.Counters()
	if info.Total_retrans == 0 || got.Lost == 0 {
		t.Errorf("%d packets lost, %d sent again, want some", got.Lost, info.Total_retrans)
	}
}

// leftovers describes the threads of this process that are in another network namespace,
// and its open namespaces and TUN devices.
func leftovers(t *testing.T) (found []string) {
	t.Helper()
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	threads, _ := filepath.Glob("/proc/self/task/*/ns/net")
	for _, f := range threads {
		if to, err := os.Readlink(f); err == nil && to != home {
			found = append(found, f)
		}
	}
	files, _ := filepath.Glob("/proc/self/fd/*")
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && (strings.Contains(to, "net") || strings.Contains(to, "tun") || strings.Contains(to, "timerfd")) {
			found = append(found, to)
		}
	}
	return found
}

// TestCloseLeavesNothing: closing a path leaves no thread in its namespaces and nothing
// open that would keep them or the devices.
func TestCloseLeavesNothing(t *testing.T) {
	for range 3 {
		p := start(t, Symmetric(Link{Delay: 5 * time.Millisecond}))
		c, s := connect(t, p)
		if _, err := c.Write(make([]byte, 100_000)); err != nil { // packets are under way
			t.Fatal(err)
		}
		c.Close()
		s.Close()
		if len(leftovers(t)) == 0 {
			t.Error("leftovers finds nothing while the path is open")
		}
		p.Close()
	}
	tick := time.NewTicker(5 * time.Millisecond) // threads end soon after their goroutines
	defer tick.Stop()
	for deadline := time.Now().Add(testMax); len(leftovers(t)) > 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("closing left %v", leftovers(t))
		}
	}
}
