package sla

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestEvents(t *testing.T) {
	l, stderr := start(t, Config{Level: "debug"})
	l.Opened(Conn, "11111111")
	l.Opened(Conn, "8f7ed46a")
	l.Opened(Sess, "8f7ed46a:1")
	l.Opened(Sock, "google.com:443")
	l.Closed(Sock, "google.com:443", nil)
	l.ClosedAs(Sess, "8f7ed46a:1", LevelInfo, "cancelled")
	l.Closed(Conn, "8f7ed46a", io.ErrUnexpectedEOF)
	l.ClosedAs(Conn, "11111111", LevelWarn, "")
	want := `[info] [conn] + 11111111 = 1
[info] [conn] + 8f7ed46a = 2
[debg] [sess] + 8f7ed46a:1 = 1
[info] [sock] + google.com:443 = 1
[info] [sock] - google.com:443 = 0
[info] [sess] - 8f7ed46a:1 = 0 cancelled
[erro] [conn] - 8f7ed46a = 1 unexpected EOF
[warn] [conn] - 11111111 = 0
`
	if got := untimedLines(t, stderr.lines()); got != want {
		t.Errorf("lines are\n%swant\n%s", got, want)
	}
}

func TestMessages(t *testing.T) {
	all := []string{
		"[debg] [main] a 1\n",
		"[info] [main] b 50%\n",
		"[warn] [main] c %s%n\n",
		`[erro] [main] d \n2020.09.01 17:15:07 [info] [main] forged` + "\n",
		"[fata] [main] \"\"\n",
	}
	for i, level := range []string{"debug", "info", "warn", "error", "fatal"} {
		l, stderr := start(t, Config{Level: level})
		l.SetExit(func(int) {})
		l.Debug("a %d", 1)
		l.Info("b 50%%")
		l.Warn("c %s\n", "%s%n")
		l.Error("d %v", "\n2020.09.01 17:15:07 [info] [main] forged")
		l.Fatal("")
		if got, want := untimedLines(t, stderr.lines()), strings.Join(all[i:], ""); got != want {
			t.Errorf("at level %s the lines are\n%swant\n%s", level, got, want)
		}
	}
}

func TestCountsOfHiddenLines(t *testing.T) {
	l, stderr := start(t, Config{Level: "info"})
	l.Opened(Sess, "a")
	l.Opened(Sess, "b")
	l.Closed(Sess, "a", nil)
	if got := l.Count(Sess); got != 1 || stderr.String() != "" {
		t.Errorf("Count(Sess) = %d, want 1; the log is %q, want it empty", got, stderr.String())
	}
	l.SetLevel(LevelDebug)
	l.Opened(Sess, "c")
	l.SetLevel(LevelFatal)
	l.Closed(Sess, "b", io.ErrUnexpectedEOF)
	l.ClosedAs(Sess, "c", LevelError, "gone")
	if got, want := untimedLines(t, stderr.lines()), "[debg] [sess] + c = 2\n"; got != want {
		t.Errorf("the lines are %q, want %q", got, want)
	}
	if got := l.Count(Sess); got != 0 {
		t.Errorf("Count(Sess) = %d, want 0", got)
	}
}

func TestEnabled(t *testing.T) {
	l, _ := start(t, Config{Level: "warn"})
	for level, want := range map[Level]bool{LevelDebug: false, LevelInfo: false, LevelWarn: true, LevelError: true, LevelFatal: true} {
		if got := l.Enabled(level); got != want {
			t.Errorf("at level warn Enabled(%v) = %v, want %v", level, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	l, stderr := start(t, Config{Format: "json"})
	before := time.Now().Truncate(time.Millisecond)
	l.Opened(Conn, "8f7e\nd46a")
	l.Closed(Conn, "8f7ed46a", io.ErrUnexpectedEOF)
	l.Opened(Sock, "a:1", Fields{Client: "phone"})
	l.Closed(Sock, "a:1", nil, Fields{Client: "phone", Counted: true, Down: 7, Lasted: 1234567890})
	l.Info("<%s>", "\xff")
	wants := []map[string]any{
		{"level": "info", "category": "conn", "sign": "+", "id": `8f7e\nd46a`, "count": 1.0},
		{"level": "erro", "category": "conn", "sign": "-", "id": "8f7ed46a", "count": 0.0, "reason": "unexpected EOF"},
		{"level": "info", "category": "sock", "sign": "+", "id": "a:1", "count": 1.0, "client": "phone"},
		{"level": "info", "category": "sock", "sign": "-", "id": "a:1", "count": 0.0, "client": "phone", "up": 0.0, "down": 7.0, "sec": 1.235},
		{"level": "info", "category": "main", "msg": `<\xff>`},
	}
	lines := stderr.lines()
	if len(lines) != len(wants) {
		t.Fatalf("got %d lines, want %d: %q", len(lines), len(wants), lines)
	}
	for i, line := range lines {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		at, err := time.Parse(jsonLayout, fmt.Sprint(got["time"]))
		if err != nil || at.Before(before) || at.After(time.Now()) {
			t.Errorf("time = %v, %v, want about now", got["time"], err)
		}
		delete(got, "time")
		if fmt.Sprint(got) != fmt.Sprint(wants[i]) {
			t.Errorf("line = %v, want %v", got, wants[i])
		}
	}
}

func TestFatal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, stderr := start(t, Config{Path: path})
	code := -1
	l.SetExit(func(c int) {
		code = c
		l.Info("too late")
	})
	l.Fatal("no %s", "certificate")
	if code != 1 {
		t.Errorf("exit code = %d, want 1", code)
	}
	if got, want := untimedLines(t, readLines(t, path)), "[fata] [main] no certificate\n"; got != want {
		t.Errorf("file = %q, want %q", got, want)
	}
	if got := stderr.String(); got != "" {
		t.Errorf("standard error = %q, want nothing", got)
	}
}

func TestDefault(t *testing.T) {
	before := Default()
	if before == nil || before.Enabled(LevelDebug) || !before.Enabled(LevelInfo) {
		t.Error("the initial default is not a Logger at level info")
	}
	l, stderr := start(t, Config{Level: "debug"})
	exited := false
	l.SetExit(func(int) { exited = true })
	SetDefault(l)
	defer SetDefault(nil)
	Debug("a%d", 1)
	Info("b%d", 2)
	Warn("c%d", 3)
	Error("d%d", 4)
	Fatal("e%d", 5)
	want := "[debg] [main] a1\n[info] [main] b2\n[warn] [main] c3\n[erro] [main] d4\n[fata] [main] e5\n"
	if got := untimedLines(t, stderr.lines()); got != want || !exited {
		t.Errorf("lines are\n%swant\n%sexited = %v, want true", got, want, exited)
	}
	SetDefault(nil)
	if Default() != before {
		t.Error("SetDefault(nil) does not restore the initial default")
	}
}

// TestCountsUnderLoad opens and closes from many goroutines while the file is being
// reopened, then checks each line against the previous one in its category.
func TestCountsUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "load.log")
	l, stderr := start(t, Config{Path: path, Level: "debug"})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for n := range 60 {
				cat := Category(r.IntN(len(categories)))
				id := fmt.Sprintf("%d:%d", i, n)
				l.Opened(cat, id)
				if n == 30 && i == 0 {
					l.Reopen()
				}
				switch r.IntN(3) {
				case 0:
					l.Closed(cat, id, nil)
				case 1:
					l.Closed(cat, id, io.ErrUnexpectedEOF)
				case 2:
					l.ClosedAs(cat, id, LevelInfo, "cancelled")
				}
			}
		})
	}
	wg.Wait()
	l.Close()

	if got := stderr.String(); got != "" {
		t.Errorf("standard error = %q, want nothing", got)
	}
	lines := readLines(t, path)
	if want := 32 * 60 * 2; len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	checkCounts(t, lines)
	for cat := range Category(len(categories)) {
		if n := l.Count(cat); n != 0 {
			t.Errorf("Count(%v) = %d, want 0", cat, n)
		}
	}
}

// checkCounts checks that each event's count follows from the previous one.
func checkCounts(t *testing.T, lines []string) {
	t.Helper()
	re := regexp.MustCompile(Grammar)
	counts := map[string]int{}
	for _, line := range lines {
		if err := Check(line); err != nil {
			t.Fatal(err)
		}
		m := re.FindStringSubmatch(line)
		cat := m[re.SubexpIndex("category")]
		if cat == "" {
			continue
		}
		if m[re.SubexpIndex("sign")] == "+" {
			counts[cat]++
		} else {
			counts[cat]--
		}
		if got, _ := strconv.Atoi(m[re.SubexpIndex("count")]); got != counts[cat] {
			t.Fatalf("line %q has count %d, want %d", line, got, counts[cat])
		}
	}
	for cat, n := range counts {
		if n != 0 {
			t.Errorf("at the end of the file %d %s are open, want 0", n, cat)
		}
	}
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return splitLines(string(b))
}

func TestHiddenLinesCostNothing(t *testing.T) {
	l, _ := start(t, Config{Level: "info"})
	if n := testing.AllocsPerRun(100, func() {
		l.Opened(Sess, "8f7ed46a:1")
		l.Closed(Sess, "8f7ed46a:1", nil)
		l.Debug("nothing")
	}); n != 0 {
		t.Errorf("hidden lines allocate %v times, want 0", n)
	}
}

func BenchmarkHiddenSession(b *testing.B) {
	l, _ := start(b, Config{Level: "info"})
	b.ReportAllocs()
	for b.Loop() {
		l.Opened(Sess, "8f7ed46a:1")
		l.Closed(Sess, "8f7ed46a:1", nil)
	}
}

func BenchmarkShownConn(b *testing.B) {
	l := newLogger(settings{level: LevelInfo, stderr: io.Discard}, nil)
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		l.Opened(Conn, "8f7ed46a")
		l.Closed(Conn, "8f7ed46a", nil)
	}
}
