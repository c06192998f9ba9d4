package tunnel

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// outerIP returns a non-loopback address of this machine, so that a server on it can
// stand in for one reached by its public name.
func outerIP(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has only loopback addresses")
	return ""
}

// TestSelf checks that "self:PORT" and "loopback:PORT" allow the port on every address
// of the exit's own machine, over TCP and UDP, and that Deny takes precedence.
func TestSelf(t *testing.T) {
	ip := outerIP(t)
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	datagrams := echo(t, ip).LocalAddr().(*net.UDPAddr)
	other := echo(t, ip).LocalAddr().(*net.UDPAddr)
	port := ln.Addr().(*net.TCPAddr).Port
	r := start(t, "remux", "tls", "tcp", func(c *Config) {
		c.Allow = listOf("self:"+strconv.Itoa(port), "loopback:"+strconv.Itoa(datagrams.Port), "self:"+strconv.Itoa(other.Port))
		c.Deny = listOf("self:" + strconv.Itoa(other.Port))
		c.Deny.Name = "-server.deny"
	})
	app := r.dial(t, ln.Addr().String())
	defer app.Close()
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	far.Close()

	s := r.associate(t)
	s.ask(t, datagrams.String(), "hello")
	if err := s.send(other.String(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	r.serverLog.Wait(t, "server", "refused client client: ", other.String(), "-server.deny contains self:"+strconv.Itoa(other.Port))
	if strings.Contains(r.serverLog.String(), "target "+datagrams.String()) {
		t.Errorf("the server refused its own address:\n%s", r.serverLog)
	}
}
