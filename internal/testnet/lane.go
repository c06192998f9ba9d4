package testnet

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkSize = 64 << 10
	// laneDepth limits the number of chunks in flight. If all are full that is 128 MiB,
	// enough for a bandwidth-delay product of 64 MiB. A full lane stops reading, so its
	// next chunks are fuller.
	laneDepth = 2048
	// smallChunk is the size up to which data is copied rather than left in a pooled
	// buffer.
	smallChunk = 4 << 10
	// limitedBuffer is the size of kernel buffers while a rate is set.
	limitedBuffer = 64 << 10
)

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// chunk is the data from one read, with the time at which it is due.
type chunk struct {
	due    time.Time
	data   []byte
	pooled *[chunkSize]byte // holds data; nil if it is a copy
	end    ending
}

type ending uint8

const (
	goesOn  ending = iota
	finish         // close the direction cleanly
	breakUp        // reset the link
)

// lane is one direction of a link: one goroutine reads and timestamps chunks, and
// another writes them when they are due.
type lane struct {
	r        *Relay
	l        *link
	src, dst *net.TCPConn
	count    *atomic.Int64
	queue    chan chunk
	written  chan struct{} // closed when write returns
	back     *lane         // the other direction; immutable once started
	free     time.Time     // owned by read; when the data read so far will have been sent
}

func newLane(r *Relay, l *link, src, dst *net.TCPConn, count *atomic.Int64) *lane {
	return &lane{r: r, l: l, src: src, dst: dst, count: count,
		queue: make(chan chunk, laneDepth), written: make(chan struct{})}
}

// read reads from the source until it ends.
func (ln *lane) read() {
	for ln.r.pass(ln.l) {
		buf := chunks.Get().(*[chunkSize]byte)
		n, err := ln.src.Read(buf[:ln.readSize()])
		if n > 0 {
			ln.pace(n)
			if !ln.push(fill(buf, n)) {
				return
			}
		} else {
			chunks.Put(buf)
		}
		if err == io.EOF {
			ln.push(chunk{end: finish})
			return
		}
		if err != nil { // the source was reset; reset the other side too, after delivering the data before it
			ln.push(chunk{end: breakUp})
			return
		}
	}
}

func fill(buf *[chunkSize]byte, n int) chunk {
	if n > smallChunk {
		return chunk{data: buf[:n], pooled: buf}
	}
	c := chunk{data: append([]byte(nil), buf[:n]...)}
	chunks.Put(buf)
	return c
}

// readSize returns chunkSize or, if a rate is set, the number of bytes sent in 5 ms.
func (ln *lane) readSize() int {
	rate := ln.r.rate.Load()
	if rate <= 0 {
		return chunkSize
	}
	return int(min(max(rate/200, 256), chunkSize))
}

// pace waits for the time it takes to send the n bytes read at the configured rate.
func (ln *lane) pace(n int) {
	rate := ln.r.rate.Load()
	if rate <= 0 {
		return
	}
	now := time.Now()
	if ln.free.Before(now) {
		ln.free = now
	}
	ln.free = ln.free.Add(time.Duration(n) * time.Second / time.Duration(rate))
	ln.sleepUntil(ln.free)
}

// push queues c and returns false once the link or this direction has ended.
func (ln *lane) push(c chunk) bool {
	c.due = time.Now().Add(time.Duration(ln.r.delay.Load()))
	select {
	case ln.queue <- c:
		return true
	case <-ln.written:
	case <-ln.l.ended:
	}
	return false
}

// write writes chunks when they are due, until the direction ends.
func (ln *lane) write() {
	failed := ln.deliver()
	close(ln.written)
	if !failed {
		return
	}
	// dst no longer accepts data. Data it has already sent still reaches src, followed
	// by the reset, as it would on a network.
	ln.back.push(chunk{end: breakUp})
	select {
	case <-ln.back.written:
		ln.l.abort()
	case <-ln.l.ended:
	}
}

// deliver is the loop of write; failed reports whether dst stopped accepting data.
func (ln *lane) deliver() (failed bool) {
	for {
		var c chunk
		select {
		case c = <-ln.queue:
		case <-ln.l.ended:
			return false
		}
		if !ln.sleepUntil(c.due) || !ln.r.pass(ln.l) {
			return false
		}
		switch c.end {
		case finish:
			ln.dst.CloseWrite() // fails only if dst has gone away, which the other direction detects
			return false
		case breakUp:
			ln.l.abort()
			return false
		}
		n, err := ln.dst.Write(c.data)
		ln.count.Add(int64(n))
		if c.pooled != nil {
			chunks.Put(c.pooled)
		}
		if err != nil {
			return true
		}
	}
}

// sleepUntil returns false if the link ends before t.
func (ln *lane) sleepUntil(t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ln.l.ended:
		return false
	}
}
