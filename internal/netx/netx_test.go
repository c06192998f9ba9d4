package netx

import (
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIsLoopback(t *testing.T) {
	tests := []struct {
		network, address string
		want             bool
	}{
		{"tcp", "127.0.0.1:1080", true},
		{"tcp", "127.8.9.10:0", true},
		{"tcp6", "[::1]:443", true},
		{"tcp", "[::ffff:127.0.0.1]:443", true},
		{"tcp", "localhost:80", true},
		{"tcp", "LocalHost.:80", true},
		{"unix", "/run/x.sock", true},
		{"tcp", ":443", false},
		{"tcp", "0.0.0.0:443", false},
		{"tcp", "[::]:443", false},
		{"tcp", "192.168.1.1:443", false},
		{"tcp", "[fe80::1%lo]:443", false},
		{"tcp", "localhost.example:80", false},
		{"tcp", "vps.example:443", false},
		{"tcp", "127.0.0.1", false},
		{"tcp", "", false},
	}
	for _, tt := range tests {
		if got := IsLoopback(tt.network, tt.address); got != tt.want {
			t.Errorf("IsLoopback(%q, %q) = %v, want %v", tt.network, tt.address, got, tt.want)
		}
	}
}

// pair returns both ends of a connection to a listener configured by cfg.
func pair(t *testing.T, cfg Config) (dialed, accepted *net.TCPConn) {
	t.Helper()
	l, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d, err := cfg.Dialer(time.Second).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return d.(*net.TCPConn), a.(*net.TCPConn)
}

func TestBytesArrive(t *testing.T) {
	for _, cfg := range []Config{{}, {Carrier: true}} {
		d, a := pair(t, cfg)
		if _, err := d.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if err := d.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(a)
		if string(got) != "hello" || err != nil {
			t.Errorf("read %q, %v through %+v, want \"hello\"", got, err, cfg)
		}
	}
}

func TestMPTCPIsOff(t *testing.T) {
	t.Setenv("GODEBUG", "multipathtcp=2") // makes MPTCP the default for listeners and dialers
	d, a := pair(t, Config{})
	for name, c := range map[string]*net.TCPConn{"dialed": d, "accepted": a} {
		if on, err := c.MultipathTCP(); on || err != nil {
			t.Errorf("%s connection: MultipathTCP() = %v, %v, want false", name, on, err)
		}
	}
}

func TestDialerTimeout(t *testing.T) {
	if got := Dialer(3 * time.Second).Timeout; got != 3*time.Second {
		t.Errorf("Dialer(3s).Timeout = %v, want 3s", got)
	}
}

func TestCarrierDialerTakesUnix(t *testing.T) {
	path := t.TempDir() + "/s"
	cfg := Config{Carrier: true}
	l, err := cfg.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := cfg.Dialer(time.Second).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatalf("dialing a UNIX socket as a carrier: %v", err)
	}
	c.Close()
}

// TestListenFamilies checks that an IPv4 address opens no IPv6 port, and that an
// address for both families opens both.
func TestListenFamilies(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here: ", err)
	} else {
		l.Close()
	}
	for _, tt := range []struct {
		network, address string
		four, six        bool
	}{
		{"tcp", "0.0.0.0:0", true, false},
		{"tcp", ":0", true, true},
		{"tcp", "[::]:0", true, true},
		{"tcp4", ":0", true, false},
		{"tcp6", "[::]:0", false, true},
		{"tcp", "127.0.0.1:0", true, false},
		{"tcp", "[::1]:0", false, true},
	} {
		l, err := Listen(t.Context(), tt.network, tt.address)
		if err != nil {
			t.Fatalf("listening on %s %s: %v", tt.network, tt.address, err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for host, want := range map[string]bool{"127.0.0.1": tt.four, "::1": tt.six} {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), 10*time.Second)
			if err == nil {
				c.Close()
			}
			if (err == nil) != want {
				t.Errorf("listening on %s %s: dialing %s: %v, want it to work: %v", tt.network, tt.address, host, err, want)
			}
		}
		l.Close()
	}
}
