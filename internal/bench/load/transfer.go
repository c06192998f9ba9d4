package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Downloads is a group of sessions that read from the source until stopped.
type Downloads struct {
	conns []*net.TCPConn
	read  atomic.Int64 // bytes read by all downloads
	left  atomic.Bool  // don't wait for the rest
	wg    sync.WaitGroup
	errs  []error // one per session; read after wg.Wait
}

// Download starts a download on each of conns, which must be connected to the source. On
// failure it closes them.
func Download(conns []*net.TCPConn, p Pool) (*Downloads, error) {
	d := &Downloads{conns: conns, errs: make([]error, len(conns))}
	for i, c := range conns {
		if err := AskEndless(c); err != nil {
			for _, c := range conns {
				c.Close()
			}
			d.wg.Wait()
			return nil, err
		}
		d.wg.Go(func() { d.errs[i] = d.take(c, p) })
	}
	return d, nil
}

// Bytes returns how many bytes all downloads have read so far.
func (d *Downloads) Bytes() int64 { return d.read.Load() }

// AskEndless asks the source to send until it is stopped.
func AskEndless(c net.Conn) error {
	if _, err := c.Write(make([]byte, 8)); err != nil {
		return fmt.Errorf("requesting data from the source: %w", err)
	}
	return nil
}

// take reads c to EOF and checks that every byte sent has arrived.
func (d *Downloads) take(c net.Conn, p Pool) error {
	buf := make([]byte, ChunkSize)
	var tail []byte // the last 8 bytes: the source's count
	var got int64
	bad := int64(-1) // offset of the first wrong byte
	for {
		n, err := c.Read(buf)
		if bad < 0 {
			bad = p.Differs(got, buf[:n])
		}
		got += int64(n)
		d.read.Add(int64(n))
		tail = append(tail, buf[max(0, n-8):n]...)
		tail = append(tail[:0], tail[max(0, len(tail)-8):]...)
		if err == io.EOF {
			break
		}
		if err != nil && d.left.Load() {
			if bad >= 0 {
				return fmt.Errorf("byte %d differs from the one sent", bad)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", got, err)
		}
	}
	if len(tail) < 8 {
		return fmt.Errorf("received only %d bytes", got)
	}
	if sent := binary.BigEndian.Uint64(tail); sent != uint64(got-8) {
		return fmt.Errorf("received %d bytes, but the sender then reported sending %d", got-8, sent)
	}
	if bad >= 0 && bad < got-8 {
		return fmt.Errorf("byte %d of %d differs from the one sent", bad, got-8)
	}
	return nil
}

// Fetch asks the source for n bytes, at most the pool's size, and checks that they arrive.
func Fetch(c net.Conn, p Pool, n int) error {
	if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(n))); err != nil {
		return fmt.Errorf("requesting data from the source: %w", err)
	}
	got := make([]byte, n+8)
	if m, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", m, n, err)
	}
	if sent := binary.BigEndian.Uint64(got[n:]); sent != uint64(n) {
		return fmt.Errorf("received %d bytes, but the sender then reported sending %d", n, sent)
	}
	if !bytes.Equal(got[:n], p[:n]) {
		return fmt.Errorf("the %d bytes received differ from those sent", n)
	}
	return nil
}

// Finish tells the sources to stop and waits for everything in flight to arrive.
func (d *Downloads) Finish() error {
	for _, c := range d.conns {
		c.Write([]byte{0}) // if this fails, so does the read
	}
	return d.ended()
}

// Leave ends the downloads immediately: it checks the bytes already received and does not
// wait for data in flight.
func (d *Downloads) Leave() error {
	d.left.Store(true)
	for _, c := range d.conns {
		Reset(c)
	}
	return d.ended()
}

func (d *Downloads) ended() error {
	d.wg.Wait()
	for i, c := range d.conns {
		c.Close()
		if err := d.errs[i]; err != nil {
			return fmt.Errorf("download %d of %d: %w", i+1, len(d.conns), err)
		}
	}
	return nil
}

// Pour writes until end, then checks that every byte has arrived.
func Pour(c *net.TCPConn, p Pool, end time.Time) (sent int64, err error) {
	defer c.Close()
	for sent == 0 || time.Now().Before(end) {
		n, err := c.Write(p.At(sent, ChunkSize))
		sent += int64(n)
		if err != nil {
			return sent, fmt.Errorf("after %d bytes: %w", sent, err)
		}
	}
	if err := c.CloseWrite(); err != nil {
		return sent, err
	}
	var answer [8]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return sent, fmt.Errorf("reading the sink's count after %d bytes: %w", sent, err)
	}
	switch count := binary.BigEndian.Uint64(answer[:]); count {
	case uint64(sent):
		return sent, nil
	case BadContent:
		return sent, fmt.Errorf("received %d bytes, but they differ from those sent", sent)
	default:
		return sent, fmt.Errorf("sent %d bytes, received %d", sent, count)
	}
}

// Reset closes c with a TCP reset instead of a clean end.
func Reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
