package netx

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseCongestion(t *testing.T) {
	for name, named := range map[string]bool{"auto": false, "system": false} {
		g, err := ParseCongestion(name)
		if err != nil || g.String() != name || g.Named() != named {
			t.Errorf("ParseCongestion(%q) = %v, %v, named %v", name, g, err, g.Named())
		}
	}
	if got := (Congestion{}).String(); got != "auto" {
		t.Errorf("the zero value is %s, want auto", got)
	}
	for _, name := range []string{"", " ", "b br", "bbr\x00", "x;y", "\x1b[2J", strings.Repeat("b", 16)} {
		if g, err := ParseCongestion(name); err == nil || !strings.Contains(err.Error(), "want auto, system or the name") {
			t.Errorf("ParseCongestion(%q) = %v, %v", name, g, err)
		}
	}
}

// fakeSocket is a congestible.
type fakeSocket struct {
	algorithm string
	rtt       time.Duration
	closed    error
	refuses   error
	permits   string // setCongestion fails for all others, if not empty
	sets      int
}

func (f *fakeSocket) congestion() (string, time.Duration, error) { return f.algorithm, f.rtt, f.closed }

func (f *fakeSocket) setCongestion(algorithm string) error {
	f.sets++
	if f.permits != "" && !strings.Contains(f.permits, algorithm) {
		return syscall.EPERM
	}
	if f.refuses == nil {
		f.algorithm = algorithm
	}
	return f.refuses
}

func (f *fakeSocket) offered() []string { return []string{"bbr", "cubic", "reno"} }

// TestCongestionRule checks which algorithm each choice gives for each round trip.
func TestCongestionRule(t *testing.T) {
	const none, short, long = 0, LongRTT, LongRTT + time.Microsecond
	for _, tt := range []struct {
		choice, system string
		rtt            time.Duration
		refuses        error
		want           string
		sets           int
		why            string // part of the error, or empty
	}{
		{"", "cubic", short, nil, "cubic", 0, ""},
		{"", "cubic", long, nil, "bbr", 1, ""},
		{"", "cubic", none, nil, "bbr", 1, ""},
		{"", "bbr", long, nil, "bbr", 0, ""},
		{"", "bbr3", long, nil, "bbr3", 0, ""},
		{"", "cubic", long, syscall.ENOENT, "cubic", 1, "does not offer it (as root, `modprobe tcp_bbr` may load it)"},
		{"", "cubic", long, syscall.EPERM, "cubic", 1, "net.ipv4.tcp_allowed_congestion_control"},
		{"system", "cubic", long, nil, "cubic", 0, ""},
		{"system", "cubic", none, nil, "cubic", 0, ""},
		{"reno", "cubic", short, nil, "reno", 1, ""},
		{"reno", "cubic", long, nil, "reno", 1, ""},
		{"reno", "reno", long, nil, "reno", 0, ""},
		{"reno", "cubic", short, syscall.ENOENT, "cubic", 1, "`modprobe tcp_reno`"},
	} {
		f := &fakeSocket{algorithm: tt.system, rtt: tt.rtt, refuses: tt.refuses}
		u, ok := Congestion{tt.choice}.apply(f)
		if !ok || u.Used != tt.want || f.algorithm != tt.want || f.sets != tt.sets || u.System != tt.system {
			t.Errorf("%+v: set %d times to %s: %+v, %v", tt, f.sets, f.algorithm, u, ok)
		}
		if (u.Err == nil) != (tt.why == "") || u.Err != nil && !strings.Contains(u.Err.Error(), tt.why) || !errors.Is(u.Err, tt.refuses) {
			t.Errorf("%+v: error %v", tt, u.Err)
		}
	}
	if u, ok := (Congestion{}).apply(&fakeSocket{closed: net.ErrClosed}); ok {
		t.Errorf("a closed socket: %+v", u)
	}
}

// TestCongestionElsewhere checks that connections without congestion control are left
// alone.
func TestCongestionElsewhere(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if u, ok := (Congestion{}).Apply(a); ok {
		t.Errorf("a pipe: %+v", u)
	}
	l, err := Listen(t.Context(), "unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dialer(time.Second).DialContext(t.Context(), "unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if u, ok := (Congestion{"reno"}).Apply(c); ok {
		t.Errorf("a UNIX socket: %+v", u)
	}
}

func TestAlternatives(t *testing.T) {
	for permits, want := range map[string]string{
		"bbr cubic reno": "want auto, system or one of bbr, cubic, reno",
		"reno":           "want auto, system or one of reno; the kernel also offers, but not to this process, bbr, cubic",
		"none":           "want auto or system; the kernel also offers, but not to this process, bbr, cubic, reno",
	} {
		if got := alternatives(&fakeSocket{permits: permits}); got != want {
			t.Errorf("if %s are permitted: %q, want %q", permits, got, want)
		}
	}
}

func TestCongestionUseText(t *testing.T) {
	for _, tt := range []struct {
		choice, system string
		rtt            time.Duration
		refuses        error
		want           string
	}{
		{"", "cubic", time.Millisecond, nil, "cubic (the system default), because the round trip is short"},
		{"", "cubic", time.Second, nil, "bbr where the round trip is above 5 ms (the system's is cubic)"},
		{"", "bbr", time.Second, nil, "bbr, the system's"},
		{"", "cubic", time.Second, syscall.ENOENT, "cubic (the system default); bbr, which is faster on lossy paths, is not available: the kernel does not offer it (as root, `modprobe tcp_bbr` may load it)"},
		{"", "cubic", time.Second, syscall.EPERM, "cubic (the system default); bbr, which is faster on lossy paths, is not available: this process is not allowed to use it (as root, add bbr to the sysctl net.ipv4.tcp_allowed_congestion_control)"},
		{"system", "cubic", time.Second, nil, "cubic, the system's"},
		{"reno", "cubic", time.Millisecond, nil, "reno (the system's is cubic)"},
		{"reno", "cubic", time.Second, syscall.ENOENT, "cubic (the system default); reno is not available: the kernel does not offer it (as root, `modprobe tcp_reno` may load it)"},
	} {
		u, _ := Congestion{tt.choice}.apply(&fakeSocket{algorithm: tt.system, rtt: tt.rtt, refuses: tt.refuses})
		if got := u.String(); got != tt.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", tt, got, tt.want)
		}
	}
}
