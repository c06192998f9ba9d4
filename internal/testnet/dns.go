package testnet

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a DNS server on loopback that serves UDP and TCP on the same port.
type DNS struct {
	tb     testing.TB                                                                // set once, never changed
	handle func(query *dnsmessage.Message, tcp bool) (answers []*dnsmessage.Message) // set once, never changed
	udp    *net.UDPConn                                                              // set once, never changed
	tcp    net.Listener                                                              // set once, never changed
	wg     sync.WaitGroup

	mu    sync.Mutex
	asked map[dnsmessage.Type]int // guarded by mu; number of queries
	conns map[net.Conn]struct{}   // guarded by mu; nil once closed
}

// NewDNS starts a server that responds to each query with the messages returned by
// handle, in order, or not at all if there are none. handle runs in a new goroutine for
// each query and may be slow, but must return before the test ends.
func NewDNS(tb testing.TB, handle func(query *dnsmessage.Message, tcp bool) []*dnsmessage.Message) *DNS {
	tb.Helper()
	d := &DNS{tb: tb, handle: handle, asked: map[dnsmessage.Type]int{}, conns: map[net.Conn]struct{}{}}
	for range 20 { // the port must be free for UDP and TCP
		d.tcp = listen(tb)
		var err error
		d.udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(d.Addr())))
		if err == nil {
			break
		}
		d.tcp.Close()
	}
	if d.udp == nil {
		tb.Fatal("testnet: no port is free for both UDP and TCP")
	}
	d.wg.Go(d.serveUDP)
	d.wg.Go(d.serveTCP)
	tb.Cleanup(d.Close)
	return d
}

// Addr returns the address the server is listening on.
func (d *DNS) Addr() string { return d.tcp.Addr().String() }

// Asked returns the number of queries received for a type, over UDP and TCP.
func (d *DNS) Asked(t dnsmessage.Type) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[t]
}

// Close stops the server and waits for its handlers.
func (d *DNS) Close() {
	d.udp.Close()
	d.tcp.Close()
	d.mu.Lock()
	for c := range d.conns {
		c.Close()
	}
	d.conns = nil
	d.mu.Unlock()
	d.wg.Wait()
}

func (d *DNS) serveUDP() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := d.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		msg := append([]byte(nil), buf[:n]...)
		d.wg.Go(func() {
			for _, b := range d.answers(msg, false) {
				_, _ = d.udp.WriteToUDPAddrPort(b, from) // the client may have gone away
			}
		})
	}
}

func (d *DNS) serveTCP() {
	for {
		c, err := d.tcp.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		if d.conns == nil {
			d.mu.Unlock()
			c.Close()
			return
		}
		d.conns[c] = struct{}{}
		d.mu.Unlock()
		d.wg.Go(func() {
			defer d.forget(c)
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			d.serveConn(c)
		})
	}
}

func (d *DNS) forget(c net.Conn) {
	c.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

func (d *DNS) serveConn(c net.Conn) {
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		msg := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, msg); err != nil {
			return
		}
		for _, b := range d.answers(msg, true) {
			b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
}

// answers returns the messages to send in response to the query in msg.
func (d *DNS) answers(msg []byte, tcp bool) (packed [][]byte) {
	var q dnsmessage.Message
	if err := q.Unpack(msg); err != nil || len(q.Questions) != 1 {
		d.tb.Errorf("testnet: DNS query %x is malformed: %v", msg, err)
		return nil
	}
	d.mu.Lock()
	d.asked[q.Questions[0].Type]++
	d.mu.Unlock()
	for _, a := range d.handle(&q, tcp) {
		b, err := a.Pack()
		if err != nil {
			d.tb.Errorf("testnet: packing DNS response %v: %v", a, err)
			continue
		}
		packed = append(packed, b)
	}
	return packed
}

// DNSAnswer returns a response to query with those addrs that are of the requested
// family.
func DNSAnswer(query *dnsmessage.Message, ttl uint32, addrs ...netip.Addr) *dnsmessage.Message {
	q := query.Questions[0]
	m := &dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	for _, a := range addrs {
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: ttl}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return m
}
