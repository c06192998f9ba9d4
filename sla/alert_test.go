package sla

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// startAlerting returns a Logger that reaches its robot through rt. It must be called
// in a synctest bubble.
func startAlerting(t *testing.T, rt http.RoundTripper) (*Logger, *buffer) {
	t.Helper()
	stderr := new(buffer)
	l := newLogger(settings{
		level:  LevelInfo,
		stderr: stderr,
		robot:  &robot{url: &url.URL{Scheme: "https", Host: "robot.test"}, token: testToken, secret: testSecret},
	}, rt)
	t.Cleanup(func() {
		l.Close()
		for _, secret := range []string{testToken, url.QueryEscape(testToken), testSecret} {
			if strings.Contains(stderr.String(), secret) {
				t.Errorf("a secret is in the log: %s", stderr)
			}
		}
	})
	return l, stderr
}

var repeated = regexp.MustCompile(`\(×(\d+), last at \d\d:\d\d:\d\d\)$`)

// alerted returns the total number of lines that a message reports, and checks that its
// first line states the same number.
func alerted(t *testing.T, text string) int {
	t.Helper()
	lines := strings.Split(text, "\n")
	n := 0
	for _, line := range lines[1:] {
		if m := repeated.FindStringSubmatch(line); m != nil {
			times, _ := strconv.Atoi(m[1])
			n += times
		} else if rest, ok := strings.CutSuffix(line, " more, of other kinds"); ok {
			dropped, err := strconv.Atoi(strings.TrimPrefix(rest, "and "))
			if err != nil {
				t.Errorf("line %q: %v", line, err)
			}
			n += dropped
		} else {
			n++
		}
	}
	if want := fmt.Sprintf(", alerts: %d", n); !strings.HasSuffix(lines[0], want) {
		t.Errorf("message begins %q, want that line to end in %q", lines[0], want)
	}
	return n
}

func TestAlertsAreGrouped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeRobot)
		l, _ := startAlerting(t, f)
		begin := time.Now()
		l.Error("first")
		synctest.Wait()
		if got := f.taken(); len(got) != 1 || !got[0].at.Equal(begin) || alerted(t, got[0].text) != 1 {
			t.Fatalf("messages are %v, want the first alert immediately", got)
		}
		for i := range 5 {
			time.Sleep(time.Second)
			host := fmt.Sprintf("host%d.example", i) + ":443"
			l.Opened(Sock, host)
			l.Closed(Sock, host, textError("lookup host"+strconv.Itoa(i)+".example: no such host"))
			l.Opened(Conn, "8f7ed46a")
			l.Closed(Conn, "8f7ed46a", io.ErrUnexpectedEOF)
			l.Error("dial 10.0.0.%d: timed out", i)
			l.Warn("not this")
		}
		time.Sleep(alertGap - 5*time.Second - time.Nanosecond)
		if got := f.taken(); len(got) != 1 {
			t.Fatalf("%d messages before the gap has passed, want 1", len(got))
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		got := f.taken()
		if len(got) != 2 {
			t.Fatalf("%d messages, want 2", len(got))
		}
		lines := strings.Split(got[1].text, "\n")[1:]
		wants := []string{
			begin.Add(time.Second).Format(timeLayout) + " [erro] [sock] - * = 0 (×5, last at " + begin.Add(5*time.Second).Format(time.TimeOnly) + ")",
			begin.Add(time.Second).Format(timeLayout) + " [erro] [conn] - 8f7ed46a = 0 unexpected EOF (×5, last at " + begin.Add(5*time.Second).Format(time.TimeOnly) + ")",
			begin.Add(time.Second).Format(timeLayout) + " [erro] [main] dial 10.0.0.0: timed out (×5, last at " + begin.Add(5*time.Second).Format(time.TimeOnly) + ")",
		}
		if strings.Join(lines, "\n") != strings.Join(wants, "\n") || alerted(t, got[1].text) != 15 {
			t.Errorf("message is\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(wants, "\n"))
		}
		time.Sleep(time.Hour)
		l.Error("much later")
		synctest.Wait()
		if got := f.taken(); len(got) != 3 || !got[2].at.Equal(time.Now()) {
			t.Errorf("after an hour an alert was not sent immediately")
		}
		if len(f.signs) != 3 {
			t.Errorf("3 messages with %d signatures, want a new one for each", len(f.signs))
		}
	})
}

// TestAlertRate floods the alerter while the robot fails occasionally, and checks that
// the request rate never exceeds the limit and that no line is lost.
func TestAlertRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRobot{answer: func(attempt int) (int, string) {
			if attempt%3 == 0 {
				return http.StatusInternalServerError, ""
			}
			return http.StatusOK, okAnswer
		}}
		l, _ := startAlerting(t, f)
		const n = 6000 // over ten minutes
		for i := range n {
			word := string([]byte{'a' + byte(i%26), 'a' + byte(i/26%26), '"', '<', '\n'})
			l.Error("%s", strings.Repeat(word, 1+i%900))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Hour)
		l.Close()
		tries := f.tried()
		for i := range tries {
			in := 0
			for _, at := range tries[i:] {
				if at.Sub(tries[i]) <= time.Minute {
					in++
				}
			}
			if in > 15 {
				t.Fatalf("%d requests within a minute, want at most 15", in)
			}
		}
		got := 0
		for _, m := range f.taken() {
			got += alerted(t, m.text)
		}
		if got != n {
			t.Errorf("the messages report %d lines, want %d", got, n)
		}
		if len(tries) < 40 {
			t.Errorf("only %d requests", len(tries))
		}
	})
}

func TestAlertIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRobot{answer: func(attempt int) (int, string) {
			if attempt <= 3 {
				return http.StatusOK, `{"errcode":310000,"errmsg":"keywords not in content"}`
			}
			return http.StatusOK, okAnswer
		}}
		l, stderr := startAlerting(t, f)
		begin := time.Now()
		l.Error("dial 1")
		time.Sleep(5 * time.Second)
		l.Error("dial 2")
		time.Sleep(10 * time.Minute)
		var after []time.Duration
		for _, at := range f.tried() {
			after = append(after, at.Sub(begin))
		}
		want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second}
		for i := range want[1:] {
			want[i+1] = want[i] + alertGap<<i
		}
		if fmt.Sprint(after) != fmt.Sprint(want) {
			t.Errorf("requests after %v, want %v", after, want)
		}
		got := f.taken()
		if len(got) != 1 || alerted(t, got[0].text) != 2 || !strings.Contains(got[0].text, "dial 1 (×2") {
			t.Errorf("messages are %v, want one with both alerts", got)
		}
		warnings := 0
		for _, line := range stderr.lines() {
			if strings.HasPrefix(untimed(t, line), "[warn] [main] alert not sent, next attempt in ") {
				warnings++
			}
		}
		if warnings != 3 {
			t.Errorf("%d warnings, want one for each failure: %s", warnings, stderr)
		}
	})
}

func TestThrottlePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRobot{answer: func(attempt int) (int, string) {
			if attempt == 1 {
				return http.StatusOK, `{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`
			}
			return http.StatusOK, okAnswer
		}}
		l, _ := startAlerting(t, f)
		for range 599 {
			l.Error("dial")
			time.Sleep(time.Second)
		}
		if n := len(f.tried()); n != 1 {
			t.Fatalf("%d requests during the pause, want 1", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := f.taken(); len(got) != 1 || alerted(t, got[0].text) != 599 {
			t.Errorf("messages are %v, want one with all pending alerts", got)
		}
	})
}

func TestCloseInThrottlePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRobot{answer: func(int) (int, string) { return http.StatusTooManyRequests, "" }}
		l, stderr := startAlerting(t, f)
		l.Error("dial")
		synctest.Wait()
		l.Close()
		if n := len(f.tried()); n != 1 {
			t.Errorf("%d requests, want none during the pause", n)
		}
		if got := stderr.String(); !strings.HasSuffix(got, "alerts not sent before the log was closed: 1\n") {
			t.Errorf("log = %q, want a line about an unsent alert", got)
		}
	})
}

func TestCloseFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeRobot)
		l, stderr := startAlerting(t, f)
		l.SetExit(func(int) {})
		begin := time.Now()
		l.Error("first")
		synctest.Wait()
		n := 1
		for i := range 3 * maxKinds { // more kinds than fit
			l.Error("%s", strings.Repeat(string([]byte{'a' + byte(i%26), 'a' + byte(i/26)}), 1000))
			n++
		}
		l.Fatal("the end")
		n++
		if d := time.Since(begin); d != 0 {
			t.Errorf("Fatal took %v although the robot accepts everything immediately", d)
		}
		got, messages := 0, f.taken()
		for _, m := range messages {
			got += alerted(t, m.text)
		}
		if got != n || len(messages) > 8 {
			t.Errorf("%d messages report %d lines, want at most 8 for %d", len(messages), got, n)
		}
		if strings.Contains(stderr.String(), "[warn]") {
			t.Errorf("log has a warning: %.300q", stderr)
		}
		l.Error("after the end")
		time.Sleep(time.Hour)
		if len(f.taken()) != len(messages) {
			t.Error("an alert was sent after Close")
		}
	})
}

// hangingRobot never responds.
type hangingRobot struct{}

func (hangingRobot) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestHangingRobot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, stderr := startAlerting(t, hangingRobot{})
		begin := time.Now()
		l.Error("dial")
		time.Sleep(sendTime)
		synctest.Wait()
		if n := strings.Count(stderr.String(), "[warn]"); n != 1 {
			t.Errorf("%d warnings after %v, want 1", n, sendTime)
		}
		for range 10000 {
			l.Error("dial")
		}
		time.Sleep(alertGap) // the next attempt has started
		if d := time.Since(begin); d != sendTime+alertGap {
			t.Errorf("logging took %v", d-sendTime-alertGap)
		}
		begin = time.Now()
		l.Close()
		if d := time.Since(begin); d != flushTime {
			t.Errorf("Close took %v, want %v", d, flushTime)
		}
		if got := stderr.String(); !strings.HasSuffix(got, "alerts not sent before the log was closed: 10001\n") {
			t.Errorf("log ends %q, want the number of unsent alerts", got[max(0, len(got)-200):])
		}
	})
}

func TestKindOf(t *testing.T) {
	closed := func(id, reason string) record {
		return record{cat: "sock", sign: '-', id: id, reason: reason}
	}
	text := func(s string) record { return record{cat: mainTag, text: s} }
	for _, tt := range []struct {
		a, b record
		same bool
	}{
		{closed("a.example:443", "timed out"), closed("b.example:80", "timed out"), true},
		{closed("a.example:443", "timed out"), closed("a.example:443", "refused"), false},
		{closed("a.example:443", "dial a.example:443: refused"), closed("b.test:80", "dial b.test:80: refused"), true},
		{closed("a.example:443", "lookup a.example: no such host"), closed("b.test:80", "lookup b.test: no such host"), true},
		{closed("x:1", "read 10.1.2.3:99: EOF"), closed("y:1", "read 192.168.0.1:7: EOF"), true},
		{closed("[::1]:1", "dial ::1 failed"), closed("[fe80::2]:1", "dial fe80::2 failed"), true},
		{text("conn 8f7ed46a lost after 10s"), text("conn 01234567 lost after 1m3s"), true},
		{text("conn lost"), text("conn found"), false},
		{text("größe"), text("größer"), false},
		{text("reset"), record{cat: "conn", sign: '-', id: "1", reason: "reset"}, false},
	} {
		a, b := kindOf(LevelError, tt.a), kindOf(LevelError, tt.b)
		if (a == b) != tt.same {
			t.Errorf("kindOf = %q and %q, want them to be equal: %v", a, b, tt.same)
		}
	}
	if kindOf(LevelError, text("x")) == kindOf(LevelFatal, text("x")) {
		t.Error("erro and fata are the same kind, want two kinds")
	}
}
