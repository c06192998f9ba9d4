package netpath

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
)

// Namespace is one end of a path: a network namespace with loopback, and a device to the
// other end. Its methods may be called from any goroutine until its Path is closed.
//
// A goroutine locked to its thread stays in the namespace to run what has to be done
// there. A thread that has entered a namespace never leaves it: its goroutine ends while
// locked, which ends the thread.
type Namespace struct {
	addr  string
	file  *os.File      // refers to the namespace, for other threads to enter; set before newNamespace returns
	calls chan func()   // run by the keeper
	quit  chan struct{} // closed by close; ends the keeper
	done  chan struct{} // closed when the keeper ends
}

func newNamespace(addr string) (*Namespace, error) {
	n := &Namespace{addr: addr, calls: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	ready := make(chan error, 1)
	onThread(func() {
		defer close(n.done)
		var err error
		n.file, err = unshareNet()
		ready <- err
		for err == nil {
			select {
			case f := <-n.calls:
				f()
			case <-n.quit:
				return
			}
		}
	})
	if err := <-ready; err != nil {
		<-n.done
		return nil, err
	}
	return n, nil
}

func (n *Namespace) close() {
	close(n.quit)
	<-n.done
	n.file.Close()
}

// onThread runs f in a goroutine locked to a thread, which ends with f. It avoids the
// process's first thread, because that one cannot end.
func onThread(f func()) {
	go func() { // ends with f; callers wait for f
		runtime.LockOSThread()
		if !onFirstThread() {
			f()
			return
		}
		started := make(chan struct{})
		onThread(func() { // on another thread, since this one is taken
			close(started)
			f()
		})
		<-started
		runtime.UnlockOSThread()
	}()
}

// do runs f on the keeper's thread, where it must not block for long.
func (n *Namespace) do(f func() error) error {
	failed := make(chan error, 1)
	select {
	case n.calls <- func() { failed <- f() }:
		return <-failed
	case <-n.quit:
		return net.ErrClosed
	}
}

// Addr returns the IP address of this end of the path.
func (n *Namespace) Addr() string { return n.addr }

// Listen is like net.Listen, inside the namespace. The address must not be a name.
func (n *Namespace) Listen(network, address string) (ln net.Listener, err error) {
	err = n.do(func() (err error) {
		ln, err = net.Listen(network, address)
		return err
	})
	return ln, err
}

// ListenPacket is like net.ListenPacket, inside the namespace. The address must not be a
// name.
func (n *Namespace) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = n.do(func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Dial connects from inside the namespace. The address must not be a name. Each call has
// a thread of its own, because connecting takes a round trip.
func (n *Namespace) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	select {
	case <-n.quit:
		return nil, net.ErrClosed
	default:
	}
	done := make(chan struct{})
	onThread(func() {
		defer close(done)
		if err = enterNet(n.file); err == nil {
			c, err = new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	<-done
	return c, err
}

// Start starts cmd inside the namespace. If its SysProcAttr sets Pdeathsig, the process
// gets that signal when the path is closed.
func (n *Namespace) Start(cmd *exec.Cmd) error { return n.do(cmd.Start) }

// SetCongestion selects the congestion control of TCP connections made from now on over
// the path, for example "cubic" or "bbr". It needs ip from iproute2.
//
// It is set on the route, because a namespace may select as its default only what the
// machine's own setting allows.
func (n *Namespace) SetCongestion(name string) error {
	ip := "ip"
	if _, err := exec.LookPath(ip); err != nil {
		ip = "/usr/sbin/ip" // often only in root's PATH
	}
	var out bytes.Buffer
	cmd := exec.Command(ip, "route", "replace", subnet, "dev", deviceName, "scope", "link", "src", n.addr, "proto", "kernel", "congctl", name)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := n.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("select congestion control %q: %w: %s", name, err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}
