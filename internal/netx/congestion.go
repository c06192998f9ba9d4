package netx

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// LongRTT is the round trip above which Congestion's automatic choice is bbr. Shorter
// paths lose few packets and recover fast, so they gain nothing.
const LongRTT = 5 * time.Millisecond

// The names with a meaning of their own, and the algorithm of the automatic choice.
const (
	autoCongestion   = "auto"
	systemCongestion = "system"
	bbr              = "bbr"
)

// Congestion is a choice of congestion control for TCP connections: automatic, which is
// the zero value; the system's; or an algorithm by name.
//
// The automatic choice is bbr on a connection whose round trip is longer than LongRTT,
// if the kernel offers it and permits it to this process. Every other connection keeps
// the system's algorithm. An algorithm affects only the direction in which this end
// sends.
type Congestion struct {
	name string // "" for automatic
}

// ParseCongestion parses auto, system or the name of an algorithm. The kernel must offer
// the algorithm and permit it to this process; an unconnected socket is used to find out.
// Only Linux lets a process choose an algorithm.
func ParseCongestion(name string) (Congestion, error) {
	switch name {
	case autoCongestion:
		return Congestion{}, nil
	case systemCongestion:
		return Congestion{systemCongestion}, nil
	}
	if name == "" || len(name) > maxCongestion || strings.ContainsFunc(name, notInAlgorithm) {
		return Congestion{}, errors.New("want auto, system or the name of an algorithm, as in bbr")
	}
	s, stop, err := unconnected()
	if err != nil {
		return Congestion{}, fmt.Errorf("%w: want auto or system", err)
	}
	defer stop()
	if err := s.setCongestion(name); err != nil {
		return Congestion{}, fmt.Errorf("%w: %s", unusable{name, err}, alternatives(s))
	}
	return Congestion{name}, nil
}

// maxCongestion is the length of the longest name on Linux, which ignores what follows.
const maxCongestion = 15

func notInAlgorithm(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// String returns the text that ParseCongestion accepts.
func (g Congestion) String() string {
	if g.name == "" {
		return autoCongestion
	}
	return g.name
}

// Named reports whether the choice is an algorithm, for all connections.
func (g Congestion) Named() bool { return g.name != "" && g.name != systemCongestion }

// CongestionUse says which congestion control a connection uses, and why.
type CongestionUse struct {
	Choice Congestion
	RTT    time.Duration // measured by the kernel so far; 0 if it was not
	System string        // the system's algorithm for this connection
	Used   string        // the algorithm in use
	Err    error         // why the chosen algorithm is not in use, and the fix; or nil
}

// Long reports whether the connection's round trip is longer than LongRTT. One that is
// not measured counts as long: the kernel measures every handshake, except one that
// lost a packet or was answered with a SYN cookie.
func (u CongestionUse) Long() bool { return u.RTT == 0 || u.RTT > LongRTT }

// String describes the use, for the log and for users.
func (u CongestionUse) String() string {
	switch {
	case u.Err != nil && u.Choice.Named():
		return fmt.Sprintf("%s (the system default); %s is not available: %v", u.System, u.Choice, u.Err)
	case u.Err != nil:
		return fmt.Sprintf("%s (the system default); %s, which is faster on lossy paths, is not available: %v", u.System, bbr, u.Err)
	case u.Choice == Congestion{} && !u.Long():
		return fmt.Sprintf("%s (the system default), because the round trip is short", u.System)
	case u.Used == u.System:
		return u.System + ", the system's"
	case u.Choice.Named():
		return fmt.Sprintf("%s (the system's is %s)", u.Used, u.System)
	}
	return fmt.Sprintf("%s where the round trip is above %d ms (the system's is %s)", u.Used, LongRTT.Milliseconds(), u.System)
}

// Usable returns what the choice would mean for a connection with a long round trip. It
// asks the kernel, without a connection. ok is false as for Apply.
func (g Congestion) Usable() (u CongestionUse, ok bool) {
	s, stop, err := unconnected()
	if err != nil {
		return CongestionUse{}, false
	}
	defer stop()
	return g.apply(s)
}

// Apply sets the congestion control of c, a connection or a wrapper with a NetConn
// method, whose handshake is complete. ok is false if there is nothing to choose: c is
// not a TCP connection or is closed, or the system is not Linux.
func (g Congestion) Apply(c net.Conn) (u CongestionUse, ok bool) {
	raw := rawTCP(c)
	if raw == nil {
		return CongestionUse{}, false
	}
	return g.apply(congestionSocket{raw.Control})
}

// congestible is the part of a TCP socket that apply needs.
type congestible interface {
	// congestion returns the algorithm in use and the round trip, 0 if not measured.
	congestion() (algorithm string, rtt time.Duration, err error)
	setCongestion(algorithm string) error
	// offered returns the algorithms of the kernel, as far as it is known.
	offered() []string
}

func (g Congestion) apply(s congestible) (u CongestionUse, ok bool) {
	system, rtt, err := s.congestion()
	if err != nil {
		return CongestionUse{}, false
	}
	u = CongestionUse{Choice: g, RTT: rtt, System: system, Used: system}
	want := system
	switch {
	case g.Named():
		want = g.name
	case g.name == systemCongestion, !u.Long(), strings.HasPrefix(system, bbr): // its later versions have a number
	default:
		want = bbr
	}
	if want == system {
		return u, true
	}
	if err := s.setCongestion(want); err != nil {
		u.Err = unusable{want, err}
		return u, true
	}
	u.Used = want
	return u, true
}

// unusable is the error for an algorithm that could not be set, with what makes it
// usable.
type unusable struct {
	name string
	err  error // of the system call
}

// Error implements error.
func (u unusable) Error() string {
	switch {
	case errors.Is(u.err, syscall.ENOENT):
		return fmt.Sprintf("the kernel does not offer it (as root, `modprobe tcp_%s` may load it)", u.name)
	case errors.Is(u.err, syscall.EPERM):
		return fmt.Sprintf("this process is not allowed to use it (as root, add %s to the sysctl net.ipv4.tcp_allowed_congestion_control)", u.name)
	}
	return fmt.Sprintf("it cannot be set: %v", u.err)
}

// Unwrap returns the error of the system call.
func (u unusable) Unwrap() error { return u.err }

// alternatives returns what may be chosen instead, in words.
func alternatives(s congestible) string {
	offered := s.offered()
	var permitted, others []string
	for _, name := range offered {
		if s.setCongestion(name) == nil {
			permitted = append(permitted, name)
		} else {
			others = append(others, name)
		}
	}
	text := "want auto or system"
	if len(permitted) > 0 {
		text = "want auto, system or one of " + strings.Join(permitted, ", ")
	}
	if len(others) > 0 {
		text += "; the kernel also offers, but not to this process, " + strings.Join(others, ", ")
	}
	return text
}
