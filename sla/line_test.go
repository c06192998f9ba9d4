package sla

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAppendText(t *testing.T) {
	at := time.Date(2020, 9, 1, 17, 15, 7, 999, time.Local)
	for _, tt := range []struct {
		level Level
		r     record
		want  string
	}{
		{LevelInfo, record{cat: "conn", sign: '+', id: "8f7ed46a", count: 2}, "2020.09.01 17:15:07 [info] [conn] + 8f7ed46a = 2"},
		{LevelDebug, record{cat: "sess", sign: '+', id: "8f7ed46a:1", count: 1}, "2020.09.01 17:15:07 [debg] [sess] + 8f7ed46a:1 = 1"},
		{LevelInfo, record{cat: "sock", sign: '-', id: "google.com:443"}, "2020.09.01 17:15:07 [info] [sock] - google.com:443 = 0"},
		{LevelError, record{cat: "conn", sign: '-', id: "8f7ed46a", count: 1, reason: "unexpected EOF"}, "2020.09.01 17:15:07 [erro] [conn] - 8f7ed46a = 1 unexpected EOF"},
		{LevelInfo, record{cat: "conn", sign: '+', id: "8f7ed46a", count: 2, fields: Fields{Client: "phone", From: "198.51.100.2:46554"}}, "2020.09.01 17:15:07 [info] [conn] + 8f7ed46a = 2 client=phone from=198.51.100.2:46554"},
		{LevelInfo, record{cat: "sock", sign: '-', id: "a:80", fields: Fields{Client: "phone", Counted: true, Up: 312, Down: 51200, Lasted: 1234 * time.Millisecond}, reason: "cancelled"}, "2020.09.01 17:15:07 [info] [sock] - a:80 = 0 client=phone up=312 down=51200 sec=1.234 cancelled"},
		{LevelWarn, record{cat: "main", text: "beware"}, "2020.09.01 17:15:07 [warn] [main] beware"},
		{LevelFatal, record{cat: "main", text: "the end"}, "2020.09.01 17:15:07 [fata] [main] the end"},
	} {
		got := string(tt.r.appendText(nil, at, tt.level))
		if got != tt.want {
			t.Errorf("%+v.appendText = %q, want %q", tt.r, got, tt.want)
		}
		if err := Check(got); err != nil {
			t.Error(err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, line := range []string{
		"",
		"hello",
		"2020.09.01 17:15:07 [info] [conn] + 8f7ed46a = 2\n",
		"2020-09-01 17:15:07 [info] [conn] + 8f7ed46a = 2",
		"2020.13.01 17:15:07 [info] [conn] + 8f7ed46a = 2",
		"2020.09.01 17:15:07 [information] [conn] + 8f7ed46a = 2",
		"2020.09.01 17:15:07 [info] [pool] + 8f7ed46a = 2",
		"2020.09.01 17:15:07 [info] [conn] * 8f7ed46a = 2",
		"2020.09.01 17:15:07 [info] [conn] + 8f7e d46a = 2",
		"2020.09.01 17:15:07 [info] [conn] - 8f7ed46a = -1",
		"2020.09.01 17:15:07 [info] [conn] - 8f7ed46a = 2 ",
		"2020.09.01 17:15:07 [info] [conn] + 8f7ed46a = 2 reason",
		"2020.09.01 17:15:07 [info] [main] ",
		"2020.09.01 17:15:07 [info] listening",
		"2020.09.01 17:15:07 [info] [main] a\x1b[31m",
		"2020.09.01 17:15:07 [info] [main] a\xff",
	} {
		if Check(line) == nil {
			t.Errorf("Check(%q) = nil, want an error", line)
		}
	}
}

func TestQuote(t *testing.T) {
	long := strings.Repeat("x", maxText)
	for _, tt := range []struct{ in, text, id string }{
		{"", `""`, `""`},
		{"google.com:443", "google.com:443", "google.com:443"},
		{"100%d", "100%d", "100%d"},
		{"a b = 3", "a b = 3", `a\x20b\x20=\x203`},
		{"a\r\nb\tc\x00\x7f", `a\r\nb\tc\x00\x7f`, `a\r\nb\tc\x00\x7f`},
		{"\xff\xc3(", `\xff\xc3(`, `\xff\xc3(`},
		{"münchen.de", "münchen.de", "münchen.de"},
		{"a\u202eb\u00a0\u0085\U000e0001", `a\u202eb\u00a0\u0085\U000e0001`, `a\u202eb\u00a0\u0085\U000e0001`},
		{`already \x00`, `already \x00`, `already\x20\x00`},
		{long, long, long},
		{long + "y", long + "…", long + "…"},
		{long[1:] + "\n", long[1:] + "…", long[1:] + "…"},
		{long[1:] + "ü", long[1:] + "…", long[1:] + "…"},
	} {
		if got := quote(tt.in); got != tt.text {
			t.Errorf("quote(%.50q) = %.50q, want %.50q", tt.in, got, tt.text)
		}
		if got := quoteID(tt.in); got != tt.id {
			t.Errorf("quoteID(%.50q) = %.50q, want %.50q", tt.in, got, tt.id)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"abcdef", 6, "abcdef"},
		{"abcdefg", 6, "abc…"},
		{"abüdefg", 6, "ab…"},
		{"üüüüüüü", 7, "üü…"},
	} {
		if got := cut(tt.in, tt.n); got != tt.want || len(got) > tt.n {
			t.Errorf("cut(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestParseLevel(t *testing.T) {
	for in, want := range map[string]Level{
		"": LevelInfo, "debug": LevelDebug, "debg": LevelDebug, "info": LevelInfo, "warn": LevelWarn,
		"error": LevelError, "erro": LevelError, "fatal": LevelFatal, "fata": LevelFatal, "INFO": LevelInfo, "Erro": LevelError,
	} {
		if got, err := ParseLevel(in); got != want || err != nil {
			t.Errorf("ParseLevel(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"infos", "loud", "4"} {
		_, err := ParseLevel(in)
		if err == nil || !strings.Contains(err.Error(), in) || !strings.Contains(err.Error(), "want debug") {
			t.Errorf("ParseLevel(%q) = %v, want an error with the value and the valid ones", in, err)
		}
	}
}

// FuzzLine checks that each call logs exactly one line, and that it matches the
// grammar.
func FuzzLine(f *testing.F) {
	for _, s := range []string{
		"8f7ed46a", "google.com:443", "", " ", "a b = 7", "100%s%n", "x\ny", "\r\n[info] [conn] + 1 = 1",
		"\xff\xfe", "\u202e", "\u2028", "\x1b[2J", "\ufffd", "e\u0301", strings.Repeat("\n", 5000),
	} {
		f.Add(s, "unexpected EOF")
		f.Add("8f7ed46a:1", s)
	}
	f.Fuzz(func(t *testing.T, id, reason string) {
		l, stderr := start(t, Config{Level: "debug"})
		l.Opened(Sess, id)
		l.ClosedAs(Sess, id, LevelInfo, reason)
		l.Opened(Sock, id)
		l.Closed(Sock, id, textError(reason))
		l.Error("%s", reason)
		lines := stderr.lines()
		if len(lines) != 5 {
			t.Fatalf("5 events with id %q and reason %q produced %d lines: %q", id, reason, len(lines), lines)
		}
		for _, line := range lines {
			if err := Check(line); err != nil {
				t.Error(err)
			}
			if len(line) > 2*maxText+200 {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
	})
}

// FuzzFields logs fields with arbitrary texts and reads them back.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"phone", "", "a b", "x=1", "up=3 down=4", " sec=1.000", "client=x from=y", "sec=0.100", "up=1 down=2 sec=3.000 gone", "\xff"} {
		f.Add("example.com:80", s, "198.51.100.2:46554", int64(312), int64(51200), int64(1234), s, true)
		f.Add(s, "phone", s, int64(0), int64(0), int64(0), s, false)
	}
	f.Fuzz(func(t *testing.T, id, client, from string, up, down, ms int64, reason string, counted bool) {
		up, down, ms = max(up, 0), max(down, 0), max(ms, 0)%(1<<40)
		want := Fields{Client: client, From: from, Counted: counted, Up: up, Down: down, Lasted: time.Duration(ms) * time.Millisecond}
		l, stderr := start(t, Config{})
		l.Opened(Sock, id)
		l.ClosedAs(Sock, id, LevelInfo, reason, want)
		line := stderr.lines()[1]
		if err := Check(line); err != nil {
			t.Fatal(err)
		}
		m := grammar.FindStringSubmatch(line)
		get := func(name string) string { return m[grammar.SubexpIndex(name)] }
		want = want.quoted()
		wants := map[string]string{"id": quoteID(id), "client": want.Client, "from": want.From, "reason": ""}
		if counted {
			wants["up"], wants["down"] = strconv.FormatInt(up, 10), strconv.FormatInt(down, 10)
		}
		if ms > 0 {
			wants["sec"] = want.seconds()
		}
		if reason != "" {
			wants["reason"] = quoteReason(reason)
		}
		for name, w := range wants {
			if got := get(name); got != w {
				t.Errorf("%s of %q is %q, want %q", name, line, got, w)
			}
		}
		for _, name := range []string{"up", "down", "sec"} {
			if wants[name] == "" && get(name) != "" {
				t.Errorf("%s of %q is %q, want none", name, line, get(name))
			}
		}
	})
}

// FuzzQuote checks that quoting already quoted text does not change it.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "a b", "\\x00", "\x00", "\xc3", "ü", strings.Repeat("a\n", 3000)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, q := range map[string]func(string) string{"quote": quote, "quoteID": quoteID} {
			once := q(s)
			if twice := q(once); twice != once {
				t.Errorf("%s(%q) = %q, but quoted again %q", name, s, once, twice)
			}
			if len(once) > maxText+len("…") || once == "" {
				t.Errorf("%s(%q) has %d bytes", name, s, len(once))
			}
		}
	})
}

// textError is an error that consists only of its text.
type textError string

func (e textError) Error() string { return string(e) }
