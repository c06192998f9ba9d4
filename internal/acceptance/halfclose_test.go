//go:build unix

package acceptance

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// ways lists the types of connection between client and server.
var ways = []struct {
	name   string
	socket bool // the server listens on a UNIX socket
	args   []string
}{
	{"remux over tls", false, nil},
	{"remux over tcp", false, []string{"-remux.net=tcp"}},
	{"remux over unix", true, []string{"-remux.net=unix"}},
	{"remux over tls over unix", true, []string{"-server.net=unix", "-tls.server.name=localhost"}},
	{"tls", false, []string{"-eagersocks.net=tls"}},
	{"tcp", false, []string{"-eagersocks.net=tcp"}},
	{"unix", true, []string{"-eagersocks.net=unix"}},
}

// startWay starts a server and a client connected in one of these ways. more holds
// additional arguments for the client.
func startWay(t testing.TB, socket bool, args, more []string) (server, client *process) {
	t.Helper()
	if socket {
		args = append(slices.Clone(args), "-server.addr="+filepath.Join(shortDir(t), "server"))
	}
	server = startServer(t, args...)
	return server, startClient(t, slices.Concat([]string{"-server.addr=" + server.Addr}, args, more)...)
}

// TestHalfClose checks that netcat can close its direction and still receive small and
// large replies from a target that waits for EOF, over every type of connection and in
// every mode.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	need(t, "nc")
	const answer = 3 << 20
	target := answerAfterEOF(t, answer)
	host, port, _ := net.SplitHostPort(target.Addr)
	for _, way := range ways {
		for _, eager := range []string{"on", "off"} {
			t.Run(way.name+" eager "+eager, func(t *testing.T) {
				t.Parallel()
				server, client := startWay(t, way.socket, way.args, []string{"-eagersocks.eager=" + eager})
				for _, sent := range [][]byte{[]byte("hello\n"), noise(2 << 20), {}} {
					got := job{Stdin: sent}.run(t, "nc", "-N", "-X", "5", "-x", client.Addr, host, port).must(t).Stdout
					if want := answerTo(sent, answer); got != want {
						t.Errorf("nc with %d bytes = %s, want %s", len(sent), brief(got), brief(want))
					}
				}
				client.waitLog(`\[info\] \[sock\] - ` + target.Addr + ` = 0 up=\d+ down=\d+ sec=[0-9.]+$`)
				for _, p := range []*process{client, server} {
					p.wantRun("sock", "-", 3)
					p.wantNoErrors()
				}
			})
		}
	}
}

// TestHalfCloseUnixClient is TestHalfClose with a client that listens on a UNIX socket.
func TestHalfCloseUnixClient(t *testing.T) {
	t.Parallel()
	need(t, "nc", "socat", "curl")
	target := answerAfterEOF(t, 1<<20)
	host, port, _ := net.SplitHostPort(target.Addr)
	_, client := startWay(t, false, nil, []string{"-client.net=unix", "-client.addr=" + filepath.Join(shortDir(t), "client")})
	if want := flagValue(client.args, "client.addr"); client.Addr != want {
		t.Errorf("the client reports listening on %q, want %q", client.Addr, want)
	}
	// netcat supports SOCKS only over TCP.
	bridge := job{}.start(t, "socat", "socat", "-d", "-d", "-t", "20", "TCP-LISTEN:0,bind=127.0.0.1,fork", "UNIX-CONNECT:"+client.Addr)
	addr := bridge.waitStderr(`listening on .*?(127\.0\.0\.1:\d+)`)
	sent := noise(2 << 20)
	got := job{Stdin: sent}.run(t, "nc", "-N", "-X", "5", "-x", addr, host, port).must(t).Stdout
	if want := answerTo(sent, 1<<20); got != want {
		t.Errorf("nc = %s, want %s", brief(got), brief(want))
	}
	site := web(t, serveText("hello"))
	if got := curl(t, "localhost"+client.Addr, site.URL).must(t).Stdout; got != "hello" {
		t.Errorf("curl through the socket = %s, want hello", brief(got))
	}
}

// TestTargetClosesFirst tests the reverse case: a target that has closed its direction
// must still receive the data that the application sends afterwards.
func TestTargetClosesFirst(t *testing.T) {
	t.Parallel()
	sent := noise(2 << 20)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan []byte, 1)
			target := testnet.Serve(t, func(c *net.TCPConn) {
				io.WriteString(c, "all I have")
				c.CloseWrite()
				b, _ := io.ReadAll(c) // checked below
				got <- b
			})
			_, client := startWay(t, way.socket, way.args, nil)
			app := socksDial(t, client.Addr, target.Addr)
			if b, err := io.ReadAll(app); err != nil || string(b) != "all I have" {
				t.Fatalf("the application read %q, %v", b, err)
			}
			if _, err := app.Write(sent); err != nil {
				t.Fatalf("writing after the target closed its direction: %v", err)
			}
			app.CloseWrite()
			select {
			case b := <-got:
				if !bytes.Equal(b, sent) {
					t.Errorf("the target read %d bytes, want %d", len(b), len(sent))
				}
			case <-time.After(patience):
				t.Error("the target did not see EOF")
			}
		})
	}
}
