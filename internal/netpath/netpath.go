// Package netpath builds a network path on one machine for tests and benchmarks: two
// network namespaces joined by a link with a delay, a rate, a bounded queue and random
// loss.
//
//	Left ── TUN device ── lane to the right, lane to the left ── TUN device ── Right
//
// The kernels' own TCP and UDP run at both ends, with their congestion control and loss
// recovery; the link carries their IP packets in user space. It requires Linux,
// /dev/net/tun, and root or a user namespace such as "unshare -r" creates.
package netpath

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	// MTU is the largest IP packet on a path, in bytes.
	MTU = 1500

	// LeftAddr and RightAddr are the IP addresses of the two ends of every path. Paths do
	// not share a network, so they can all use the same addresses.
	LeftAddr, RightAddr = "10.77.0.1", "10.77.0.2"

	subnet     = "10.77.0.0/24"
	deviceName = "path0" // of the TUN device in each namespace

	queueMin = 64 << 10 // smallest default queue, in bytes
)

// Link describes one direction of a path.
type Link struct {
	Delay time.Duration // one way
	Rate  int64         // bytes per second, counting whole IP packets; 0 means no limit
	Queue int           // bytes that may wait to be sent; 0 means Rate × 2 × Delay, at least 64 KiB
	Loss  float64       // share of packets lost at random, 0 to 1
}

// queue returns the limit of the queue in bytes.
func (l Link) queue() int {
	if l.Queue > 0 {
		return l.Queue
	}
	return max(queueMin, int(float64(l.Rate)*2*l.Delay.Seconds()))
}

// Config describes a path.
type Config struct {
	ToRight, ToLeft Link
	Seed            uint64 // selects which packets are lost
}

// Symmetric returns a Config with the same link in both directions.
func Symmetric(l Link) Config { return Config{ToRight: l, ToLeft: l} }

// Counters counts the packets of one direction.
type Counters struct {
	Delivered int   // packets
	Bytes     int64 // bytes of the packets delivered
	Lost      int   // packets lost at random
	Dropped   int   // packets that found the queue full
}

// Path is a running path. Its methods may be called from any goroutine; New sets its
// fields, which then do not change.
type Path struct {
	Left, Right *Namespace

	toRight, toLeft *lane
	devices         []*os.File // both ends' TUN devices
	alarms          []*alarm
	running         sync.WaitGroup // goroutines that end when devices and alarms are closed
	closing         sync.Once
}

// New starts a path. The error wraps errors.ErrUnsupported if this system or this user
// cannot have one. Close must be called when the path is no longer needed.
func New(c Config) (*Path, error) {
	p := &Path{toRight: newLane(c.ToRight, c.Seed, 1), toLeft: newLane(c.ToLeft, c.Seed, 2)}
	if err := p.start(); err != nil {
		p.Close()
		return nil, fmt.Errorf("network path: %w", err)
	}
	return p, nil
}

func (p *Path) start() (err error) {
	if p.Left, err = newNamespace(LeftAddr); err != nil {
		return err
	}
	if p.Right, err = newNamespace(RightAddr); err != nil {
		return err
	}
	for _, n := range []*Namespace{p.Left, p.Right} {
		var tun *os.File
		err := n.do(func() (err error) {
			tun, err = setUp(n.addr)
			return err
		})
		if err != nil {
			return err
		}
		p.devices = append(p.devices, tun)
	}
	for range 2 {
		a, err := newAlarm()
		if err != nil {
			return err
		}
		p.alarms = append(p.alarms, a)
	}
	p.carry(p.toRight, p.devices[0], p.devices[1], p.alarms[0])
	p.carry(p.toLeft, p.devices[1], p.devices[0], p.alarms[1])
	return nil
}

// carry starts the two goroutines of one direction.
func (p *Path) carry(l *lane, from, to *os.File, a *alarm) {
	p.running.Go(func() { l.receive(from, a) })
	p.running.Go(func() { l.send(to, a) })
}

// Set changes both links. Packets that are already on their way keep their times and
// their order; the seed is not used again.
func (p *Path) Set(c Config) {
	p.toRight.set(c.ToRight)
	p.toLeft.set(c.ToLeft)
}

// Counters returns the counts of each direction so far.
func (p *Path) Counters() (toRight, toLeft Counters) {
	return p.toRight.counters(), p.toLeft.counters()
}

// SetCongestion is like Namespace.SetCongestion, for both ends.
func (p *Path) SetCongestion(name string) error {
	return errors.Join(p.Left.SetCongestion(name), p.Right.SetCongestion(name))
}

// Close removes the path, its devices and its namespaces, and waits for its goroutines.
// Processes started in a namespace are not ended, except those whose Pdeathsig says so;
// they and open sockets keep their namespace, without the device.
func (p *Path) Close() {
	p.closing.Do(func() {
		for _, d := range p.devices {
			d.Close()
		}
		for _, a := range p.alarms {
			a.close()
		}
		p.running.Wait()
		for _, n := range []*Namespace{p.Left, p.Right} {
			if n != nil {
				n.close()
			}
		}
	})
}
