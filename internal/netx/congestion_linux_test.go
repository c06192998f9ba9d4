package netx

import (
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCongestionOnSockets checks both ends of a real connection, whose round trip the
// kernel must know as soon as it is dialed or accepted.
func TestCongestionOnSockets(t *testing.T) {
	for _, choice := range []string{"auto", "system", "reno"} {
		g, err := ParseCongestion(choice)
		if err != nil {
			t.Fatalf("ParseCongestion(%q): %v", choice, err)
		}
		dialed, accepted := pair(t, Config{})
		for name, c := range map[string]*net.TCPConn{"dialed": dialed, "accepted": accepted} {
			before := algorithmOf(t, c)
			u, ok := g.Apply(wrapped{c})
			if !ok || u.RTT <= 0 {
				t.Errorf("%s, %s: no round trip: %+v, %v", choice, name, u, ok)
			}
			want := before
			if choice == "reno" {
				want = "reno"
			}
			if u.Long() && choice == "auto" {
				continue // a very busy machine
			}
			if got := algorithmOf(t, c); got != want || u.Used != want || u.System != before || u.Err != nil {
				t.Errorf("%s, %s: %s before, %s after, %+v", choice, name, before, got, u)
			}
		}
	}
	if u, ok := (Congestion{"reno"}).Usable(); !ok || u.Used != "reno" || !u.Long() {
		t.Errorf("Usable = %+v, %v", u, ok)
	}
	dialed, _ := pair(t, Config{})
	dialed.Close()
	if u, ok := (Congestion{"reno"}).Apply(dialed); ok {
		t.Errorf("a closed connection: %+v", u)
	}
}

func algorithmOf(t *testing.T, c *net.TCPConn) string {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	name, _, err := congestionSocket{raw.Control}.congestion()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestUnknownAlgorithm(t *testing.T) {
	g, err := ParseCongestion("nonesuch")
	if err == nil {
		t.Fatalf("ParseCongestion = %v", g)
	}
	for _, want := range []string{"the kernel does not offer it (as root, `modprobe tcp_nonesuch` may load it): want auto, system or one of ", "reno"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not contain %q", err, want)
		}
	}
}

// TestForbiddenAlgorithm checks the message for an algorithm that the kernel offers, but
// not to this process.
func TestForbiddenAlgorithm(t *testing.T) {
	list := func(name string) []string {
		text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_" + name + "_congestion_control")
		if err != nil {
			t.Skip(err)
		}
		return strings.Fields(string(text))
	}
	allowed := list("allowed")
	forbidden := slices.DeleteFunc(list("available"), func(name string) bool { return slices.Contains(allowed, name) })
	if len(forbidden) == 0 {
		t.Skip("the kernel permits every algorithm it offers")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that the thread ends with its lost capabilities
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var no [2]unix.CapUserData
		if err := unix.Capset(&header, &no[0]); err != nil {
			done <- err
			return
		}
		_, err := ParseCongestion(forbidden[0])
		done <- err
	}()
	err := <-done
	for _, want := range []string{"this process is not allowed to use it (as root, add " + forbidden[0], "net.ipv4.tcp_allowed_congestion_control", "want auto, system or one of ", "; the kernel also offers, but not to this process, "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to contain %q", err, want)
		}
	}
}
