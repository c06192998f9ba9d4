package netpath

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// grain is how long the sender waits at least once it has sent a batch, so that a fast
// lane does not wake it for every packet. Packets are late by at most this much.
const grain = 200 * time.Microsecond

// packet is an IP packet on its way.
type packet struct {
	data []byte
	due  time.Time // of delivery
}

// lane is one direction of a path. One goroutine receives packets from the sender's
// device and puts them into the lane, another delivers them when they are due.
type lane struct {
	mu      sync.Mutex // guards the fields below
	link    Link
	random  *rand.Rand
	free    time.Time // when everything in the queue will have been sent
	last    time.Time // due time of the last packet added
	flying  []packet  // packets not delivered yet, in order
	idle    bool      // no alarm is set: the sender has nothing to deliver
	spare   [][]byte  // buffers for reuse
	counted Counters
}

func newLane(l Link, seed, stream uint64) *lane {
	return &lane{link: l, random: rand.New(rand.NewPCG(seed, stream)), idle: true}
}

func (l *lane) set(to Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link = to
}

func (l *lane) counters() Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counted
}

// receive puts every packet read from a device into the lane, until the device is closed.
func (l *lane) receive(from *os.File, a *alarm) {
	buf := l.buffer()
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		taken, wake, due := l.put(buf[:n], now)
		if taken {
			buf = l.buffer()
		}
		if wake {
			a.set(due.Sub(now))
		}
	}
}

// send delivers packets to a device when they are due, until the alarm is closed.
func (l *lane) send(to *os.File, a *alarm) {
	var batch []packet
	for a.wait() {
		batch = l.take(batch[:0], time.Now())
		for _, p := range batch {
			if _, err := to.Write(p.data); errors.Is(err, os.ErrClosed) {
				break // Close is closing the alarm too
			} // any other error loses the packet, as a network would
		}
		if wait, more := l.rest(batch, time.Now()); more {
			a.set(max(wait, grain))
		}
	}
}

// put adds a packet to the lane, unless it is lost or the queue is full. If taken is set,
// data belongs to the lane; if wake is set, the caller must set the alarm to due.
func (l *lane) put(data []byte, now time.Time) (taken, wake bool, due time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) || l.link.Rate == 0 {
		l.free = now
	}
	if l.link.Rate > 0 {
		waiting := l.free.Sub(now).Seconds() * float64(l.link.Rate)
		if waiting > 0 && int(waiting)+len(data) > l.link.queue() {
			l.counted.Dropped++
			return false, false, time.Time{}
		}
		l.free = l.free.Add(time.Duration(float64(len(data)) / float64(l.link.Rate) * float64(time.Second)))
	}
	if l.link.Loss > 0 && l.random.Float64() < l.link.Loss {
		l.counted.Lost++
		return false, false, time.Time{}
	}
	due = l.free.Add(l.link.Delay)
	if due.Before(l.last) {
		due = l.last // a shorter delay must not reorder packets
	}
	l.last = due
	l.flying = append(l.flying, packet{data, due})
	wake, l.idle = l.idle, false
	return true, wake, due
}

// take removes the packets that are due and appends them to batch.
func (l *lane) take(batch []packet, now time.Time) []packet {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.flying) && !l.flying[n].due.After(now) {
		l.counted.Delivered++
		l.counted.Bytes += int64(len(l.flying[n].data))
		n++
	}
	batch = append(batch, l.flying[:n]...)
	clear(l.flying[:n])
	l.flying = l.flying[n:]
	return batch
}

// rest takes back the buffers of a batch and returns how long to wait for the next packet.
// If there is none, put reports when there is one again.
func (l *lane) rest(batch []packet, now time.Time) (wait time.Duration, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range batch {
		l.spare = append(l.spare, p.data[:MTU])
	}
	if len(l.flying) == 0 {
		l.idle = true
		return 0, false
	}
	return l.flying[0].due.Sub(now), true
}

// buffer returns a buffer for one packet.
func (l *lane) buffer() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.spare); n > 0 {
		b := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return b
	}
	return make([]byte, MTU)
}
