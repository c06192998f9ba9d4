//go:build unix

package acceptance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// linkTake runs count concurrent downloads from a source of n bytes and returns the
// time taken.
func linkTake(t testing.TB, proxy, source string, n int64, count int) time.Duration {
	t.Helper()
	begin := time.Now()
	var wg sync.WaitGroup
	for range count {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			c, err := linkDial(ctx, proxy, source)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if got, err := io.Copy(io.Discard, c); err != nil || got != n {
				t.Errorf("download: %d bytes, %v, want %d", got, err, n)
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

// linkStalled opens endless downloads without reading from them, and waits until no
// more data is transferred.
func linkStalled(t testing.TB, r *linkRig, endless string, count int) (all []net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range count {
		c, err := linkDial(ctx, r.client.Addr, endless)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	last, since := int64(-1), time.Now()
	eventually(t, patience, "the stalled downloads have filled all buffers", func() bool {
		_, down := r.relay.Bytes()
		if down > last+4096 { // ignore a PING or two
			last, since = down, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
	return all
}

// linkIdle opens idle sessions.
func linkIdle(t testing.TB, r *linkRig, echo string, count int) (all []net.Conn) {
	t.Helper()
	for range count {
		all = append(all, linkOpen(t, r.client.Addr, echo))
	}
	return all
}

// TestLinkStalledReaders checks that an application that does not read does not delay
// others on the same conn, and uses no more memory than its window.
func TestLinkStalledReaders(t *testing.T) {
	const size = 16 << 20
	for _, n := range []int{1, 8, 32} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := linkUp(t, linkSetup{client: []string{"-remux.reuse.max.cnt=1000", "-remux.window.max.kb=256"}})
			finite, endless := testnet.Source(t, size), testnet.Source(t, -1)
			linkTake(t, r.client.Addr, finite.Addr, size, 4)
			server, client := r.server.rss(), r.client.rss()
			stalled := linkStalled(t, r, endless.Addr, n)
			took := linkTake(t, r.client.Addr, finite.Addr, size, 4)
			dServer, dClient := r.server.rss()-server, r.client.rss()-client
			const most = 32*(256<<10)*2 + 48<<20
			if dServer > most || dClient > most {
				t.Errorf("%d stalled: the server grew by %d KiB, the client by %d KiB, want %d at most", n, dServer>>10, dClient>>10, most>>10)
			}
			if _, conns := r.sessions(); len(conns) != n+8 || conns[0] != conns[len(conns)-1] {
				t.Errorf("%d sessions, want %d on one conn: %v", len(conns), n+8, conns)
			}
			_, down := r.relay.Bytes()
			t.Logf("%d stalled: 4 × %d MiB in %v; growth: server %d KiB, client %d KiB; %d KiB sent to the stalled",
				n, size>>20, took.Round(time.Millisecond), dServer>>10, dClient>>10, (down-8*size)>>10)
			for _, c := range stalled {
				c.Close()
			}
			eventually(t, patience, "the client's sessions have ended", func() bool { return len(r.client.lines("[sock] -")) == n+8 })
		})
	}
}

// BenchmarkLinkStalled compares the speed of four downloads that share a conn with 32
// stalled sessions to their speed with 32 idle ones.
func BenchmarkLinkStalled(b *testing.B) {
	const size = 64 << 20
	r := linkUp(b, linkSetup{client: []string{"-remux.reuse.max.cnt=30000", "-remux.reuse.max.sec=3600"}})
	finite, endless, echo := testnet.Source(b, size), testnet.Source(b, -1), testnet.Echo(b)
	linkTake(b, r.client.Addr, finite.Addr, size, 4)
	var idle, stalled []float64
	for b.Loop() {
		for range 5 {
			for _, beside := range []struct {
				open func() []net.Conn
				took *[]float64
			}{
				{func() []net.Conn { return linkIdle(b, r, echo.Addr, 32) }, &idle},
				{func() []net.Conn { return linkStalled(b, r, endless.Addr, 32) }, &stalled},
			} {
				others := beside.open()
				took := linkTake(b, r.client.Addr, finite.Addr, size, 4)
				*beside.took = append(*beside.took, 4*size/took.Seconds()/(1<<20))
				for _, c := range others {
					c.Close()
				}
				eventually(b, patience, "all sessions have ended", func() bool {
					return len(r.server.lines("[sock] +")) == len(r.server.lines("[sock] -"))
				})
			}
		}
	}
	b.ReportMetric(linkMedian(idle), "MiB/s-idle")
	b.ReportMetric(linkMedian(stalled), "MiB/s-stalled")
	b.ReportMetric(linkMedian(stalled)/linkMedian(idle), "ratio")
	b.Logf("idle %.0f, stalled %.0f MiB/s", idle, stalled)
}

// linkNoise returns n pseudorandom bytes determined by seed.
func linkNoise(seed uint64, n int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b)
	return b
}

// fitful reads with buffers of all sizes, down to one byte, and pauses in between.
type fitful struct {
	r   io.Reader
	rnd *rand.Rand
}

func (f fitful) Read(p []byte) (int, error) {
	sizes := [...]int{1, 1, 100, 1500, 16 << 10, 32 << 10, 64 << 10, 64 << 10}
	if f.rnd.IntN(50) == 0 {
		linkPause(time.Duration(f.rnd.IntN(5000)) * time.Microsecond)
	}
	return f.r.Read(p[:min(len(p), sizes[f.rnd.IntN(len(sizes))])])
}

// TestLinkIntegrity checks that no data is lost, duplicated or reordered.
func TestLinkIntegrity(t *testing.T) {
	const sessions, size = 64, 4 << 20
	r := linkUp(t, linkSetup{delay: 2 * time.Millisecond})
	// The target sends back everything it reads, followed by the byte count.
	echo := testnet.Serve(t, func(c *net.TCPConn) {
		sum := sha256.New()
		in := fitful{c, rand.New(rand.NewPCG(1, uint64(c.RemoteAddr().(*net.TCPAddr).Port)))}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(c, sum)}, in, make([]byte, 64<<10)); err != nil {
			return
		}
		c.Write(sum.Sum(nil))
	})
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() {
			if err := linkEchoed(t.Context(), r.client.Addr, echo.Addr, uint64(i), size); err != nil {
				t.Errorf("session %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d × %d MiB there and back in %v", sessions, size>>20, time.Since(begin).Round(time.Millisecond))
	r.client.wantRun("sess", "+", sessions)
}

// linkEchoed sends noise to the echo and checks the data it returns.
func linkEchoed(ctx context.Context, proxy, echo string, seed uint64, size int) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	c, err := linkDial(ctx, proxy, echo)
	if err != nil {
		return err
	}
	defer c.Close()
	data := linkNoise(seed, size)
	want := sha256.Sum256(data)
	var sent error
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, sent = c.Write(data); sent == nil {
			sent = c.CloseWrite()
		}
	})
	sum := sha256.New()
	in := fitful{c, rand.New(rand.NewPCG(2, seed))}
	_, err = io.CopyBuffer(struct{ io.Writer }{sum}, io.LimitReader(in, int64(size)), make([]byte, 64<<10))
	far, ferr := io.ReadAll(in)
	wg.Wait()
	if err := errors.Join(err, ferr, sent); err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), want[:]) || !bytes.Equal(far, want[:]) {
		return fmt.Errorf("sent %x, the target received %x, the echo was %x", want[:4], far, sum.Sum(nil)[:4])
	}
	return nil
}
