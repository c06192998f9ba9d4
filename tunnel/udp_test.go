package tunnel

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/admission"
	"tunnels/internal/loglines/logtest"
	"tunnels/internal/upstream"
	"tunnels/sla"
)

// TestDatagramsEveryWay sends datagrams of all sizes, from empty to the largest
// possible, to an address and to a name, over every network that can carry requests.
func TestDatagramsEveryWay(t *testing.T) {
	target := echoAddr(t)
	_, port, _ := net.SplitHostPort(target)
	for _, w := range ways {
		t.Run(fmt.Sprintf("%s %s %s", w.eager, w.remux, w.server), func(t *testing.T) {
			r := start(t, w.eager, w.remux, w.server, nil)
			s := r.associate(t)
			for _, size := range []int{1, 0, 1400, 9000, 65507 - 10} {
				s.ask(t, target, strings.Repeat("x", size))
			}
			s.ask(t, "localhost:"+port, "by name")
			at := "udp:" + s.relay.String()
			s.Close()
			for name, log := range map[string]*logtest.Buffer{"client": r.clientLog, "server": r.serverLog} {
				log.Wait(t, name, "[info] [sock] - "+at+" = 0 ", " up=75905 down=75905 sec=") // total payload
			}
			if strings.Contains(r.clientLog.String()+r.serverLog.String(), "[erro]") {
				t.Error("an association that ended cleanly was logged as an error")
			}
		})
	}
}

// TestDatagramsKeepOrder sends 10 000 datagrams to four targets, with as many in flight
// as the sockets can hold, and checks that each target's replies all arrive in order.
func TestDatagramsKeepOrder(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	s := r.associate(t)
	const total, underWay, targets = 10_000, 40, 4
	var to [targets]string
	index := map[string]int{}
	for i := range to {
		to[i] = echoAddr(t)
		index[to[i]] = i
	}
	var next [targets]int
	sent := 0
	for got := 0; got < total; got++ {
		for ; sent < total && sent-got < underWay; sent++ {
			if err := s.send(to[sent%targets], fmt.Append(nil, sent/targets)); err != nil {
				t.Fatal(err)
			}
		}
		data, from := s.receive(t)
		i := index[from]
		if data != fmt.Sprint(next[i]) {
			t.Fatalf("answer %d: %s from target %d, want %d", got, data, i, next[i])
		}
		next[i]++
	}
}

// TestUnknownSendersAreIgnored checks that datagrams are accepted only from the application's
// address and first port.
func TestUnknownSendersAreIgnored(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	s := r.associate(t)
	target := echo(t, "127.0.0.1")
	to := target.LocalAddr().String()
	spoof := func(ip string) {
		t.Helper()
		c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip)}, s.relay)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(packet(to, []byte("spoofed"))); err != nil {
			t.Fatal(err)
		}
	}
	wanted := 1
	if runtime.GOOS == "linux" { // other systems lack the second address
		spoof("127.0.0.2") // sent before the first datagram, so it must not claim the port
		wanted++
	}
	s.ask(t, to, "first")
	spoof("127.0.0.1") // a different port
	for range 3 {
		s.ask(t, to, "next")
	}
	s.Close()
	r.clientLog.Wait(t, "client", "[info] [sock] - udp:", fmt.Sprintf(" datagrams: %d ignored", wanted))
}

// TestDatagramsSurvive checks that a bad target or datagram does not affect others.
func TestDatagramsSurvive(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	s := r.associate(t)
	target := echoAddr(t)
	closed, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for range 20 {
		if err := s.send(closed.LocalAddr().String(), []byte("is anybody there?")); err != nil {
			t.Fatal(err)
		}
		if err := s.send("dead..name:53", []byte("x")); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"", "\x00\x00\x00", "\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x00", string(packet(target, nil))[:9],
			"\x00\x00\x01" + string(packet(target, []byte("fragment")))[3:], "\x00\x00\x00\x09" + strings.Repeat("x", 50)} {
			if _, err := s.UDPConn.WriteToUDP([]byte(bad), s.relay); err != nil {
				t.Fatal(err)
			}
		}
		s.ask(t, target, "still there")
	}
	at := "udp:" + s.relay.String()
	r.serverLog.Wait(t, "server", "[info] [main] "+at+": cannot send datagrams to dead..name:53: ")
	s.Close()
	r.clientLog.Wait(t, "client", "- "+at+" = 0 ", " datagrams: 120 ignored")
	r.serverLog.Wait(t, "server", "[info] [sock] - "+at+" = 0")
}

// TestManyTargets checks that all of an association's targets share one socket.
func TestManyTargets(t *testing.T) {
	r := start(t, "remux", "tls", "tcp", nil)
	s := r.associate(t)
	targets := make([]string, 300)
	for i := range targets {
		targets[i] = echoAddr(t)
	}
	s.ask(t, targets[0], "open the exit's socket")
	before := descriptors()
	for range 2 {
		for _, to := range targets {
			s.ask(t, to, "are you "+to)
		}
	}
	if after := descriptors(); after > before {
		t.Errorf("%d descriptors with one target, %d with 300", before, after)
	}
}

// TestDatagramPolicy checks that nothing on the server's machine can be reached by
// default, however it is spelled, and that each refused target is logged once.
func TestDatagramPolicy(t *testing.T) {
	target := echo(t, "127.0.0.1")
	port := target.LocalAddr().(*net.UDPAddr).Port
	r := start(t, "remux", "tls", "tcp", func(c *Config) { c.Allow, c.Deny = nil, listOf("denied.test") })
	s := r.associate(t)
	hosts := []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "169.254.169.254", "denied.test"}
	for _, host := range hosts {
		for range 3 {
			if err := s.send(fmt.Sprintf("%s:%d", host, port), []byte("let me in")); err != nil {
				t.Fatal(err)
			}
		}
		host = strings.Trim(strings.Replace(host, "::ffff:", "", 1), "[]")
		r.serverLog.Wait(t, "server", "[warn] [main] refused client client: ", "target "+strings.Trim(net.JoinHostPort(host, ""), ":"), fmt.Sprint(port))
	}
	at := "udp:" + s.relay.String()
	until(t, "all targets have been refused", func() bool {
		return r.server.Refused()[admission.RefusedTarget] == uint64(len(hosts))
	})
	_ = s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, _, err := s.ReadFrom(make([]byte, 10)); err == nil {
		t.Error("a datagram to a refused target was answered")
	}
	s.Close()
	r.serverLog.Wait(t, "server", "- "+at+" = 0 ", " datagrams: ", " refused")
	if n := strings.Count(r.serverLog.String(), "refused client"); n != len(hosts)-1 { // two of the spellings are the same target
		t.Errorf("%d lines about refusals for %d hosts", n, len(hosts))
	}
}

// TestAssociationEndsWithSession checks that the control connection ends when the
// association's session does.
func TestAssociationEndsWithSession(t *testing.T) {
	for _, w := range ways {
		t.Run(fmt.Sprintf("%s %s %s", w.eager, w.remux, w.server), func(t *testing.T) {
			target := echoAddr(t)
			r := start(t, w.eager, w.remux, w.server, nil)
			s := r.associate(t)
			s.ask(t, target, "works")
			r.server.Close()
			s.wantEnd(t, w.eager == "unix") // a UNIX socket has no reset
			r.clientLog.Wait(t, "client", "[sock] - udp:"+s.relay.String()+" = 0")
		})
	}
}

// TestAssociationServerDown checks that an association gets code 1 when no server can be reached.
func TestAssociationServerDown(t *testing.T) {
	for _, w := range ways {
		t.Run(fmt.Sprintf("%s %s %s", w.eager, w.remux, w.server), func(t *testing.T) {
			r := start(t, w.eager, w.remux, w.server, func(c *Config) { c.DialTimeout = 2 * time.Second })
			r.server.Close()
			refused := false
			for range 5 {
				s, err := associate(r.client.Addr().String(), "")
				if err == nil { // the first may succeed, on a conn that is dying
					s.wantEnd(t, false)
					s.Close()
					continue
				}
				refused = refused || strings.Contains(err.Error(), "reply 05 01 ")
			}
			if !refused {
				t.Error("none of five associations with the server down was answered with code 1")
			}
		})
	}
}

// TestAssociationRefused checks that if a server does not support associations, the first eager
// one ends with a reset of the control connection, and later ones get the SOCKS code.
func TestAssociationRefused(t *testing.T) {
	for _, mode := range []eagersocks.Mode{eagersocks.On, eagersocks.Off} {
		t.Run(mode.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			ln, err := eagersocks.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					_, req, err := ln.Accept()
					if err != nil {
						return
					}
					_ = req.Refuse(7, "")
				}
			}()
			r := start(t, "unix", "", "tcp", func(c *Config) { c.EagerMode = mode })
			r.client.servers.All()[0].Link.(*upstream.Direct).Address = path
			s, err := associate(r.client.Addr().String(), "")
			if mode == eagersocks.On {
				if err != nil {
					t.Fatal(err)
				}
				s.wantEnd(t, false)
				s.Close()
				r.clientLog.Wait(t, "client", "[info] [sock] - udp:", "command not supported")
				_, err = associate(r.client.Addr().String(), "")
			}
			if err == nil || !strings.Contains(err.Error(), "reply 05 07 ") {
				t.Errorf("association: %v, want code 7", err)
			}
		})
	}
}

// TestAssociationLeaksNothing checks that descriptors, goroutines and memory return to
// their previous levels.
func TestAssociationLeaksNothing(t *testing.T) {
	target := echoAddr(t)
	r := start(t, "tcp", "", "tcp", func(c *Config) { c.EagerMode = eagersocks.Off })
	use := func(n int) {
		var all []*socksUDP
		for range n {
			s := r.associate(t)
			s.ask(t, target, strings.Repeat("x", 30_000))
			all = append(all, s)
		}
		for _, s := range all {
			s.Close()
		}
		until(t, "all associations have ended", func() bool {
			return r.clientL.Count(sla.Sock) == 0 && r.servL.Count(sla.Sock) == 0
		})
	}
	use(1)
	fds, goroutines, heap := descriptors(), runtime.NumGoroutine(), heapInUse()
	use(50)
	until(t, fmt.Sprintf("%d descriptors again", fds), func() bool { return descriptors() <= fds })
	until(t, fmt.Sprintf("%d goroutines again", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
	until(t, "memory as before", func() bool { return heapInUse() < heap+1<<20 })
}

// heapInUse returns the bytes in use on the heap after garbage collection.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // pools survive the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAssociationAtClose checks that closing the client aborts its associations.
func TestAssociationAtClose(t *testing.T) {
	target := echoAddr(t)
	r := start(t, "remux", "tls", "tcp", nil)
	s := r.associate(t)
	s.ask(t, target, "works")
	r.client.Close()
	if _, err := io.ReadAll(s.control); err == nil {
		t.Error("the control connection ended cleanly although its association was aborted")
	}
	r.serverLog.Wait(t, "server", "[sock] - udp:"+s.relay.String()+" = 0")
}
