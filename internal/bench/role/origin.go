package role

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"tunnels/internal/bench/load"
)

// OriginAddrs holds the addresses of an origin's services.
type OriginAddrs struct {
	Echo   string   // echoes all bytes
	Sink   string   // counts bytes until EOF, then sends the count in 8 bytes
	Source string   // reads a number in 8 bytes and sends that many bytes, or if 0 sends until one more byte arrives; then sends the count in 8 bytes
	HTTP   string   // sends a small response to each request
	UDP    string   // echoes packets
	Echoes []string // like Echo, for cases with so many short sessions that one address would run out of ports
}

// origin is the target of all sessions.
type origin struct {
	pool  load.Pool
	tcp   []*Acceptor
	udp   *net.UDPConn
	wg    sync.WaitGroup // for the UDP echo
	addrs OriginAddrs
}

// startOrigin starts an origin that listens on an IP address.
func startOrigin(host string) (*origin, error) {
	o := &origin{pool: load.NewPool()}
	for _, s := range []struct {
		addr   *string
		handle func(*net.TCPConn)
	}{
		{&o.addrs.Echo, echo}, {&o.addrs.Sink, o.sink}, {&o.addrs.Source, o.source}, {&o.addrs.HTTP, answerHTTP},
	} {
		a, err := Serve(FreeAddrOn(host, net.Listen), func(_ *Acceptor, c *net.TCPConn) { s.handle(c) })
		if err != nil {
			o.Close()
			return nil, fmt.Errorf("origin: %w", err)
		}
		o.tcp = append(o.tcp, a)
		*s.addr = a.Addr()
	}
	for range 16 {
		a, err := Serve(FreeAddrOn(host, net.Listen), func(_ *Acceptor, c *net.TCPConn) { echo(c) })
		if err != nil {
			o.Close()
			return nil, fmt.Errorf("origin: %w", err)
		}
		o.tcp = append(o.tcp, a)
		o.addrs.Echoes = append(o.addrs.Echoes, a.Addr())
	}
	var err error
	if o.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}); err != nil {
		o.Close()
		return nil, fmt.Errorf("origin: %w", err)
	}
	o.addrs.UDP = o.udp.LocalAddr().String()
	o.wg.Go(o.echoUDP)
	return o, nil
}

func (o *origin) where() any { return o.addrs }

// Close closes all services and waits for the goroutines.
func (o *origin) Close() error {
	for _, a := range o.tcp {
		a.Close()
	}
	if o.udp != nil {
		o.udp.Close()
	}
	o.wg.Wait()
	return nil
}

func echo(c *net.TCPConn) {
	buf := make([]byte, 4<<10) // small: thousands are idle at a time
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (o *origin) echoUDP() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := o.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		o.udp.WriteToUDPAddrPort(buf[:n], from) // if this fails the packet is lost, as on a network
	}
}

func (o *origin) sink(c *net.TCPConn) {
	buf := make([]byte, load.ChunkSize)
	var count uint64
	bad := false
	for {
		n, err := c.Read(buf)
		bad = bad || o.pool.Differs(int64(count), buf[:n]) >= 0
		count += uint64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
	}
	if bad {
		count = load.BadContent
	}
	c.Write(binary.BigEndian.AppendUint64(nil, count)) // if this fails, the reader notices that it is missing
}

func (o *origin) source(c *net.TCPConn) {
	var asked [8]byte
	if _, err := io.ReadFull(c, asked[:]); err != nil {
		return
	}
	want := binary.BigEndian.Uint64(asked[:])
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		c.Read(make([]byte, 1)) // returns once the download is stopped or closed
		stop.Store(true)
	})
	var sent uint64
	for (want == 0 || sent < want) && !stop.Load() {
		b := o.pool.At(int64(sent), load.ChunkSize)
		if want != 0 {
			b = b[:min(uint64(len(b)), want-sent)]
		}
		n, err := c.Write(b)
		sent += uint64(n)
		if err != nil {
			c.Close()
			return
		}
	}
	c.Write(binary.BigEndian.AppendUint64(nil, sent))
	c.Close() // also ends the goroutine
}

// HTTPAnswer is the response to every request.
const HTTPAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nIt came back.\n"

func answerHTTP(c *net.TCPConn) {
	r := bufio.NewReaderSize(c, 4<<10)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(bytes.TrimSpace(line)) > 0 {
			continue // skip the request line and headers
		}
		if _, err := io.WriteString(c, HTTPAnswer); err != nil {
			return
		}
	}
}
