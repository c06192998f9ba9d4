//go:build unix

package acceptance

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// linkOrigin starts an HTTP/1.0 server whose response has no length, so only EOF would
// complete it, and the server never sends that. If quiet, the server stops after 64
// KiB; otherwise it keeps sending.
func linkOrigin(t testing.TB, quiet bool) *testnet.Server {
	return testnet.Serve(t, func(c *net.TCPConn) {
		var req []byte
		for b := make([]byte, 4096); !strings.Contains(string(req), "\r\n\r\n"); {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			req = append(req, b[:n]...)
		}
		io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
		c.Write(make([]byte, 64<<10))
		for !quiet {
			if _, err := c.Write(make([]byte, 1<<10)); err != nil {
				return
			}
			linkPause(2 * time.Millisecond) // sets the rate of the download
		}
		io.Copy(io.Discard, c)
	})
}

// linkDownload starts a download and returns its connection once the headers have
// arrived.
func linkDownload(t testing.TB, proxy, origin string) *net.TCPConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := linkDial(ctx, proxy, origin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 32<<10)); err != nil {
		t.Fatal(err)
	}
	return c
}

// linkEnd reads until the connection ends and returns the reason.
func linkEnd(c *net.TCPConn, limit time.Duration) error {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	_, err := io.Copy(io.Discard, c)
	if err == nil {
		return io.EOF
	}
	return err
}

// linkWays holds the arguments for each way to carry requests. No arguments means remux
// over TLS.
var linkWays = [][]string{nil, {"-eagersocks.net=tls"}, {"-eagersocks.net=tcp"}}

// TestLinkCut checks that a break in the middle of a download that is delimited only by
// EOF is reported as an error, and that the next request works.
func TestLinkCut(t *testing.T) {
	tests := []struct {
		name   string
		quiet  bool
		cut    func(r *linkRig)
		mended func(r *linkRig, t *testing.T)
		limit  time.Duration // time limit for the next request to work
	}{
		{"kill server, flowing", false, func(r *linkRig) { r.server.Kill() }, (*linkRig).serverAgain, 5 * time.Second},
		{"kill server, quiet", true, func(r *linkRig) { r.server.Kill() }, (*linkRig).serverAgain, 5 * time.Second},
		{"kill client, flowing", false, func(r *linkRig) { r.client.Kill() }, (*linkRig).clientAgain, 5 * time.Second},
		{"kill client, quiet", true, func(r *linkRig) { r.client.Kill() }, (*linkRig).clientAgain, 5 * time.Second},
		{"reset, flowing", false, func(r *linkRig) { r.relay.Reset() }, nil, 0},
		{"reset, quiet", true, func(r *linkRig) { r.relay.Reset() }, nil, 0},
	}
	for _, way := range linkWays {
		for _, tt := range tests {
			t.Run(strings.Join(append(way, tt.name), " "), func(t *testing.T) {
				r := linkUp(t, linkSetup{both: way})
				origin, echo := linkOrigin(t, tt.quiet), testnet.Echo(t)
				raw := linkDownload(t, r.client.Addr, origin.Addr)
				dir := t.TempDir()
				page := filepath.Join(dir, "page")
				curl := job{Dir: dir}.start(t, "curl", "curl", "-sSN", "-x", "socks5h://"+r.client.Addr, "-o", page, "http://"+origin.Addr+"/")
				eventually(t, patience, "curl has received data", func() bool {
					info, err := os.Stat(page)
					return err == nil && info.Size() > 0
				})
				tt.cut(r)
				if err := linkEnd(raw, patience); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the download ended with %v, want connection reset", err)
				}
				if code := curl.Wait(patience); code == 0 {
					t.Errorf("curl ended with exit code 0, want an error")
				}
				if tt.mended == nil {
					if _, err := linkAsk(t.Context(), r.client.Addr, echo.Addr); err != nil {
						t.Errorf("the next request: %v", err)
					}
					return
				}
				tt.mended(r, t)
				took := linkTry(t, tt.limit, r.client.Addr, echo.Addr)
				t.Logf("recovered after %v", took.Round(time.Millisecond))
			})
		}
	}
}

// serverAgain starts the killed server again on the same port.
func (r *linkRig) serverAgain(t *testing.T) {
	t.Helper()
	r.server = startServer(t, append(r.both, "-server.addr="+r.server.Addr)...)
}

// clientAgain starts the killed client again on the same port.
func (r *linkRig) clientAgain(t *testing.T) {
	t.Helper()
	r.client = startClient(t, append(r.both, "-server.addr="+r.relay.Addr, "-client.addr="+r.client.Addr)...)
}

// TestLinkResetAgain checks that after each reset, the next request works.
func TestLinkResetAgain(t *testing.T) {
	r := linkUp(t, linkSetup{})
	origin, echo := linkOrigin(t, true), testnet.Echo(t)
	for i := range 20 {
		c := linkDownload(t, r.client.Addr, origin.Addr)
		r.relay.Reset()
		if err := linkEnd(c, patience); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("download %d ended with %v, want connection reset", i+1, err)
		}
		if _, err := linkAsk(t.Context(), r.client.Addr, echo.Addr); err != nil {
			t.Errorf("request after reset %d: %v", i+1, err)
		}
	}
}

// TestLinkUploadCut checks that a target that reads until EOF cannot mistake truncated
// data for complete data.
func TestLinkUploadCut(t *testing.T) {
	for _, way := range linkWays {
		for _, who := range []string{"server", "client", "network"} {
			t.Run(strings.Join(append(way, who), " "), func(t *testing.T) {
				r := linkUp(t, linkSetup{both: way})
				ended, got := make(chan error, 1), make(chan struct{})
				target := testnet.Serve(t, func(c *net.TCPConn) {
					var b [1]byte
					if _, err := c.Read(b[:]); err != nil {
						ended <- err
						return
					}
					close(got)
					_, err := c.Read(b[:])
					ended <- err
				})
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				c, err := linkDial(ctx, r.client.Addr, target.Addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Write([]byte("a")); err != nil {
					t.Fatal(err)
				}
				<-got
				switch who {
				case "server":
					r.server.Kill()
				case "client":
					r.client.Kill()
				case "network":
					r.relay.Reset()
				}
				if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the target read %v, want connection reset", err)
				}
			})
		}
	}
}

// TestLinkClosedPort checks that the first attempt is reset after one round trip, and
// that the next one gets the reason.
func TestLinkClosedPort(t *testing.T) {
	linkOnTime(t, func(t *testing.T, k *linkClock) {
		r := linkUp(t, linkSetup{delay: k.of(linkBurstRTT) / 2})
		closed := testnet.ClosedPort(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		begin := time.Now()
		c, err := linkDial(ctx, r.client.Addr, closed)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
		took := time.Since(begin)
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("first attempt: %v, want connection reset", err)
		}
		k.one("reset of the first try", took, k.of(linkBurstRTT))
		got := linkCurl(t, r.client.Addr, "http://"+closed+"/")
		if got.Code != 97 || !strings.Contains(got.Stderr, "(5)") {
			t.Errorf("second attempt: want exit code 97 and SOCKS code 5, got %v", got)
		}
		for _, p := range []*process{r.client, r.server} {
			p.wantLine(patience, "[info] [sock] - "+closed+" ", "connection refused")
		}
		t.Logf("reset after %v", took)
	})
}

// TestLinkBlackHole checks that a target that never responds does not delay others, and
// that requests for it fail after the timeout.
func TestLinkBlackHole(t *testing.T) {
	linkOnTime(t, linkBlackHole)
}

func linkBlackHole(t *testing.T, k *linkClock) {
	const timeout = 2 * time.Second
	r := linkUp(t, linkSetup{delay: k.of(linkBurstRTT) / 2, server: []string{"-server.dial.timeout.sec=2"}})
	echo, hole := testnet.Echo(t), testnet.BlackHole(t)
	var hanging sync.WaitGroup
	for range 20 {
		hanging.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			begin := time.Now()
			c, err := linkDial(ctx, r.client.Addr, hole)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, err = c.Read(make([]byte, 1))
			took := time.Since(begin)
			if !errors.Is(err, syscall.ECONNRESET) || took < timeout || took > timeout+15*time.Second {
				t.Errorf("black hole: %v after %v, want connection reset after %v", err, took, timeout)
			}
		})
	}
	eventually(t, patience, "20 requests are waiting", func() bool { return len(r.server.lines("[sock] + "+hole)) == 20 })
	burst := linkBurst(t, 20, r.client.Addr, echo.Addr)
	k.one("slowest of 20 during black hole requests", burst[19], k.of(linkBurstRTT))
	t.Logf("20 requests during black hole requests: median %v, max %v", burst[10], burst[19])
	hanging.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := linkDial(ctx, r.client.Addr, hole)
	if err == nil {
		c.Close()
	}
	if err != linkRefused(6) {
		t.Errorf("retry: %v, want SOCKS code 6", err)
	}
	for _, p := range []*process{r.client, r.server} {
		p.wantLine(patience, "[info] [sock] - "+hole+" ", "time")
	}
}
