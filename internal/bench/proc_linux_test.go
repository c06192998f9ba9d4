package bench

import (
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

func TestCPUTime(t *testing.T) {
	me := []int{os.Getpid()}
	before, err := cpuTime(me)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for time.Since(began) < 50*time.Millisecond {
	}
	after, err := cpuTime(me)
	if err != nil {
		t.Fatal(err)
	}
	if d := after - before; d < time.Millisecond || d > 5*time.Second {
		t.Errorf("50 ms of work took %s of CPU time", d)
	}
	p, err := startProcess(site{}, t.TempDir(), "sleep", "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	if _, err := cpuTime([]int{p.pid()}); err == nil {
		t.Error("cpuTime of a process that has exited = nil, want an error")
	}
}

func TestResidentMemory(t *testing.T) {
	got, err := residentMemory([]int{os.Getpid()})
	if err != nil || got < 1<<20 || got > 64<<30 {
		t.Errorf("residentMemory of this process = %d, %v", got, err)
	}
}

func TestFamily(t *testing.T) {
	p, err := startProcess(site{}, t.TempDir(), "sleep", "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	all, err := family([]int{os.Getpid()})
	if err != nil || !slices.Contains(all, p.pid()) {
		t.Errorf("family = %v, %v, want it to include %d", all, err, p.pid())
	}
	p.stop()
	if all, _ := family([]int{os.Getpid()}); slices.Contains(all, p.pid()) {
		t.Errorf("family = %v after %d was stopped", all, p.pid())
	}
}

func TestListenerOf(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if got, err := listenerOf(ln.Addr().String()); err != nil || got != os.Getpid() {
		t.Errorf("listenerOf = %d, %v, want %d", got, err, os.Getpid())
	}
	if _, err := listenerOf("192.0.2.1:80"); err == nil {
		t.Error("listenerOf another machine = nil, want an error")
	}
}
