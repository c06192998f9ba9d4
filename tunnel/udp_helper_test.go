package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// socksUDP is the application's side of an association, implemented from RFC 1928. It is
// a net.PacketConn, and a net.Conn whose Write sends to the target to.
type socksUDP struct {
	*net.UDPConn
	control *net.TCPConn
	relay   *net.UDPAddr // address that receives datagrams
	to      string       // where Write sends datagrams, as host:port
}

// associate requests an association from the front door.
func associate(front, to string) (*socksUDP, error) {
	c, err := net.Dial("tcp", front)
	if err != nil {
		return nil, err
	}
	s := &socksUDP{control: c.(*net.TCPConn), to: to}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("\x05\x01\x00\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00")); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	var said [12]byte
	if _, err := io.ReadFull(c, said[:]); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if said[3] != 0 || said[5] != 1 {
		return nil, errors.Join(fmt.Errorf("reply % x", said[2:]), c.Close())
	}
	_ = c.SetDeadline(time.Time{})
	bound := netip.AddrPortFrom(netip.AddrFrom4([4]byte(said[6:10])), binary.BigEndian.Uint16(said[10:]))
	s.relay = net.UDPAddrFromAddrPort(bound)
	s.UDPConn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	return s, err
}

// associate returns an association through the rig that is closed when the test ends.
func (r *rig) associate(t *testing.T) *socksUDP {
	t.Helper()
	s, err := associate(r.client.Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *socksUDP) Close() error {
	return errors.Join(s.UDPConn.Close(), s.control.Close())
}

// packet returns a SOCKS5 datagram for a target, whose host may be a name.
func packet(target string, data []byte) []byte {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		panic(err)
	}
	b := []byte{0, 0, 0}
	if ip, err := netip.ParseAddr(host); err != nil {
		b = append(append(b, 3, byte(len(host))), host...)
	} else if ip.Is4() {
		b = append(append(b, 1), ip.AsSlice()...)
	} else {
		b = append(append(b, 4), ip.AsSlice()...)
	}
	n, err := net.LookupPort("udp", port)
	if err != nil {
		panic(err)
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(n)), data...)
}

func (s *socksUDP) send(target string, data []byte) error {
	_, err := s.UDPConn.WriteToUDP(packet(target, data), s.relay)
	return err
}

func (s *socksUDP) WriteTo(b []byte, to net.Addr) (int, error) {
	return len(b), s.send(to.String(), b)
}

func (s *socksUDP) Write(b []byte) (int, error) { return len(b), s.send(s.to, b) }

func (s *socksUDP) ReadFrom(b []byte) (int, net.Addr, error) {
	buf := make([]byte, 65536)
	n, err := s.UDPConn.Read(buf)
	if err != nil {
		return 0, nil, err
	}
	size := 4
	if buf[3] == 4 {
		size = 16
	}
	if n < 4+size+2 || buf[0] != 0 || buf[1] != 0 || buf[2] != 0 || buf[3] != 1 && buf[3] != 4 {
		return 0, nil, fmt.Errorf("datagram % .20x", buf[:n])
	}
	from := &net.UDPAddr{IP: net.IP(buf[4 : 4+size]), Port: int(binary.BigEndian.Uint16(buf[4+size:]))}
	return copy(b, buf[4+size+2:n]), from, nil
}

func (s *socksUDP) Read(b []byte) (int, error) {
	n, _, err := s.ReadFrom(b)
	return n, err
}

// receive returns the next datagram and its sender.
func (s *socksUDP) receive(t *testing.T) (data, from string) {
	t.Helper()
	b := make([]byte, 65536)
	_ = s.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, addr, err := s.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), addr.String()
}

// ask sends data to target and checks that it comes back.
func (s *socksUDP) ask(t *testing.T, target, data string) {
	t.Helper()
	if err := s.send(target, []byte(data)); err != nil {
		t.Fatal(err)
	}
	if got, from := s.receive(t); got != data {
		t.Fatalf("sent %d bytes to %s, got %d from %s", len(data), target, len(got), from)
	}
}

// wantEnd checks that the control connection ends, cleanly or with an error.
func (s *socksUDP) wantEnd(t *testing.T, clean bool) {
	t.Helper()
	_ = s.control.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := s.control.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) || err == nil || clean != (err == io.EOF) {
		t.Errorf("control connection: %v, want its end (clean: %v)", err, clean)
	}
}

// echo returns a socket on a free port of ip that echoes every datagram until the test ends.
func echo(t *testing.T, ip string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		b := make([]byte, 65536)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = c.WriteToUDPAddrPort(b[:n], from)
			}
		}
	})
	t.Cleanup(func() { c.Close(); serving.Wait() })
	return c
}

// echoAddr starts an echo on loopback and returns its address.
func echoAddr(t *testing.T) string { return echo(t, "127.0.0.1").LocalAddr().String() }

// descriptors returns how many descriptors this process has open, or -1 if unknown.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries) - 1 // not counting the one that ReadDir opened
}

// until waits until cond returns true.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
