//go:build unix

package acceptance

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// TestLogUnwritable checks that if the log cannot be written, there is one warning and
// the lines go to standard error.
func TestLogUnwritable(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "file", nil)
	p := startTunnels(t, "try", "-server", "-client", "-client.addr=127.0.0.1:0", "-sla.log.path="+filepath.Join(file, "tunnels.log"))
	p.Log = "-" // its lines go to standard error
	tryIt(t, p)
	p.stop()
	if n := strings.Count(p.Stderr.String(), "cannot write the log file"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, p.Stderr)
	}
	contains(t, "the warning", p.Stderr.String(), "[warn] [main] ", file, "standard error")
}

// cutOff lists curl's exit codes for a connection that ended early: no data was
// received, or sending or receiving failed.
var cutOff = []int{52, 55, 56}

// TestLogEndings checks that both logs record how each session ended, for every kind of
// ending. The harness checks every line against the grammar and replays the counts.
func TestLogEndings(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	server, client := startPair(t, "-server.dial.timeout.sec=1", "-server.deny=denied.example,127.0.0.66")
	site := web(t, serveText("hello"))
	fails := func(url string, args ...string) result {
		t.Helper()
		r := curl(t, client.Addr, append(args, url)...)
		if r.Code == 0 {
			t.Errorf("curl %s succeeded: %v", url, r)
		}
		return r
	}
	for range 5 {
		curl(t, client.Addr, site.URL).must(t)
	}
	closed := testnet.ClosedPort(t)
	first := fails("http://" + closed)
	if !slices.Contains(cutOff, first.Code) {
		t.Errorf("curl to a closed port: %v, want a reset connection", first)
	}
	// The port is now known to be closed, so the second attempt gets the reason.
	if r := fails("http://" + closed); r.Code != 97 || !strings.Contains(r.Stderr, "(5)") {
		t.Errorf("curl to a closed port again: %v, want SOCKS code 5", r)
	}
	fails("http://denied.example/")
	fails("http://127.0.0.66:1/")
	fails("http://no.such.name.invalid/")
	reset := testnet.Serve(t, func(c *net.TCPConn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhalf")
		c.SetLinger(0)
	})
	if r := fails("http://" + reset.Addr); !slices.Contains(cutOff, r.Code) {
		t.Errorf("curl to a target that resets: %v, want a reset connection", r)
	}
	url, half, _ := slow(t, noise(1<<20))
	// An application that gives up is not an error. A reset proves that it did, but
	// exiting after reading all the data so far does not.
	cancelled := socksDial(t, client.Addr, strings.TrimPrefix(url, "http://"))
	io.WriteString(cancelled, "GET / HTTP/1.1\r\nHost: slow\r\n\r\n")
	<-half
	cancelled.SetLinger(0)
	cancelled.Close()
	if host := testnet.BlackHole(t); host != "" {
		fails("http://"+host, "--max-time", "5")
	}

	for _, p := range []*process{client, server} {
		p.waitLog(`\[info\] \[sock\] - ` + closed + ` = \d+ .*refused`)
		p.waitLog(`\[info\] \[sock\] - ` + strings.TrimPrefix(url, "http://") + ` = \d+ .* cancelled`)
		p.waitLog(`\[info\] \[sock\] - ` + reset.Addr + ` = \d+ .*reset`)
		p.waitLog(`\[info\] \[sock\] - no\.such\.name\.invalid:80 = \d+ .*`)
		p.waitLog(`\[sock\] - .* = 0( .*)?$`)
	}
	client.waitLog(`\[warn\] \[sock\] - denied\.example:80 = \d+ .*-server\.deny contains denied\.example$`)
	// A refusal is one line in the exit's log, because no target was dialed.
	server.waitLog(`\[warn\] \[main\] refused client laptop: target denied\.example:80: -server\.deny contains denied\.example$`)
	server.waitLog(`\[warn\] \[main\] refused client laptop: target 127\.0\.0\.66:1: -server\.deny contains 127\.0\.0\.66$`)
	client.stop()
	server.stop()
	client.wantRun("sock", "-", 12)
	server.wantRun("sock", "-", 10)
	for _, p := range []*process{client, server} {
		p.wantRun("sess", "-", 12)
		p.wantRun("conn", "-", 1)
	}
}

// TestLogHostile checks that bytes from an application can neither forge nor end a log
// line, nor control the terminal.
func TestLogHostile(t *testing.T) {
	t.Parallel()
	server, client := startPair(t)
	const forged = "2020.09.01 17:15:07 [info] [sock] + x = 99"
	for _, name := range []string{"a%d%s\n" + forged + "\x1b[31m", "x = 99", strings.Repeat("%s", 127), "\u202ename.invalid", "\xff\xfe.invalid", "a\x00b"} {
		rawSocks(t, client.Addr, name)
	}
	client.waitLog(`\[info\] \[sock\] - \\u202ename\.invalid:80 = \d `)
	client.waitLog(`\[debg\] \[main\] no request from 127\.0\.0\.1:\d+: .*17:15:07`)
	client.stop()
	server.stop()
	for _, p := range []*process{client, server} {
		if log := p.log(); strings.ContainsAny(log, "\x1b\u202e\x00") || strings.Contains(log, "\n"+forged) {
			t.Errorf("%s log contains raw bytes from an application:\n%s", p.Name, tail(log))
		}
	}
}

// rawSocks sends a request with the exact bytes of name, and waits for the connection
// to end.
func rawSocks(t testing.TB, addr, name string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	name = name[:min(len(name), 255)]
	c.Write(append(append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(name))}, name...), 0, 80))
	if _, err := io.Copy(io.Discard, c); err != nil && isTimeout(err) {
		t.Errorf("a request for %q was not closed", name)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// TestLogJSON checks that every line is a JSON object with the fields of a log line.
func TestLogJSON(t *testing.T) {
	t.Parallel()
	_, client := startPair(t, "-sla.log.format=json")
	curl(t, client.Addr, web(t, serveText("hello")).URL).must(t)
	client.waitLog(`"category":"sock".*"sign":"-"`)
	client.stop()
	open := make(map[string]int)
	for line := range strings.Lines(client.log()) {
		var e struct {
			Time, Level, Category, Sign, ID, Msg string
			Count                                *int
		}
		d := json.NewDecoder(bytes.NewReader([]byte(line)))
		if err := d.Decode(&e); err != nil || e.Time == "" || e.Level == "" || (e.Msg == "") == (e.Sign == "") {
			t.Errorf("line %s: %v, %+v", line, err, e)
			continue
		}
		if _, err := time.Parse(time.RFC3339, e.Time); err != nil {
			t.Error(err)
		}
		if e.Sign != "" {
			open[e.Category] += map[string]int{"+": 1, "-": -1}[e.Sign]
			if e.Count == nil || *e.Count != open[e.Category] {
				t.Errorf("line %s: the count should be %d", line, open[e.Category])
			}
		}
	}
	for _, c := range []string{"conn", "sess", "sock"} {
		if n, ok := open[c]; !ok || n != 0 {
			t.Errorf("%s: %d open at the end (any logged: %v), want 0", c, n, ok)
		}
	}
}

// robot is a fake DingTalk robot that records the messages it receives.
type robot struct {
	secret string

	mu       sync.Mutex // guards the fields below
	messages []message
	wrong    []string // requests that violate the robot's API
}

type message struct {
	at   time.Time
	text string
}

func (r *robot) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(req.Body)
	var m struct {
		MsgType string
		Text    struct{ Content string }
	}
	q := req.URL.Query()
	ms, _ := strconv.ParseInt(q.Get("timestamp"), 10, 64) // 0 is rejected below
	mac := hmac.New(sha256.New, []byte(r.secret))
	fmt.Fprintf(mac, "%d\n%s", ms, r.secret)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil || json.Unmarshal(body, &m) != nil || m.MsgType != "text" || m.Text.Content == "":
		r.wrong = append(r.wrong, fmt.Sprintf("body %q, %v", body, err))
	case req.Method != http.MethodPost || !strings.HasPrefix(req.Header.Get("Content-Type"), "application/json"):
		r.wrong = append(r.wrong, req.Method+" "+req.Header.Get("Content-Type"))
	case q.Get("access_token") != "t0ken":
		r.wrong = append(r.wrong, "token "+q.Get("access_token"))
	case now.Sub(time.UnixMilli(ms)).Abs() > time.Minute:
		r.wrong = append(r.wrong, "timestamp "+q.Get("timestamp"))
	case q.Get("sign") != base64.StdEncoding.EncodeToString(mac.Sum(nil)):
		r.wrong = append(r.wrong, "signature "+q.Get("sign"))
	case !strings.Contains(m.Text.Content, "tunnels"):
		r.wrong = append(r.wrong, "no keyword in "+m.Text.Content)
	}
	r.messages = append(r.messages, message{now, m.Text.Content})
	io.WriteString(w, `{"errcode":0,"errmsg":"ok"}`)
}

func (r *robot) all() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]message(nil), r.messages...)
}

// TestAlerts checks that the robot receives the first error immediately, those in the
// next ten seconds in one message, grouped by kind, and the last ones before the
// process exits.
func TestAlerts(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	r := &robot{secret: "SECgeheim"}
	endpoint := web(t, r.ServeHTTP)
	down, users := testnet.ClosedPort(t), writeFile(t, "users", nil)
	client := startClient(t, "-server.addr="+down, "-client.users="+users, "-sla.dingtalk.token=@"+writeFile(t, "token", []byte("t0ken\n")),
		"-sla.dingtalk.secret=@"+writeFile(t, "secret", []byte(r.secret+"\n")), "-sla.dingtalk.url="+endpoint.URL+"/robot/send")

	eventually(t, patience, "the first alert has arrived", func() bool { return len(r.all()) == 1 })
	logged := func() (n int) {
		all, err := client.events()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Level == "erro" {
				n++
			}
		}
		return n
	}
	if err := os.WriteFile(users, []byte("broken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload := func() {
		t.Helper()
		before := logged()
		client.Signal(syscall.SIGHUP)
		eventually(t, patience, "the log has another line at erro", func() bool { return logged() > before })
	}
	for range 8 {
		reload()
	}
	eventually(t, patience, "the second alert has arrived", func() bool { return len(r.all()) == 2 })

	// Errors since the last message are sent at exit.
	reload()
	client.stop()

	all := r.all()
	if len(all) != 3 {
		t.Fatalf("%d messages, want 3: %v", len(all), all)
	}
	if gap := all[1].at.Sub(all[0].at); gap < 9*time.Second || gap > 30*time.Second {
		t.Errorf("%v between the first two messages, want about 10 s", gap)
	}
	contains(t, "the first alert", all[0].text, "alerts: 1\n", "[erro] [main] cannot reach server "+down)
	contains(t, "the second alert", all[1].text, "[erro] [main] client: reloading ", "(×", ", last at ")
	contains(t, "the last alert", all[2].text, "[erro] [main] client: reloading ")
	told := 0
	for _, m := range all {
		_, n, _ := strings.Cut(m.text, "alerts: ")
		n, _, _ = strings.Cut(n, "\n")
		k, err := strconv.Atoi(n)
		if err != nil {
			t.Errorf("message %q does not include the number of alerts", m.text)
		}
		told += k
	}
	if n := logged(); told != n {
		t.Errorf("the messages report %d alerts, want %d", told, n)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wrong {
		t.Error("invalid request to the robot: " + w)
	}
}
