package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// parse parses a head, written with \n for CR LF.
func parse(t testing.TB, head string) (*Answer, error) {
	t.Helper()
	a := new(Answer)
	for _, l := range strings.SplitAfter(strings.ReplaceAll(head, "\n", "\r\n"), "\n") {
		if strings.Trim(l, "\r\n") == "" {
			break // end of the head
		}
		if err := a.AddLine([]byte(l)); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// text returns the head as forwarded.
func (a *Answer) text() string {
	b := a.AppendStatus(nil)
	for _, f := range a.Fields {
		b = f.AppendTo(b)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

// TestAnswerLines checks that a head is preserved, except for bytes that could split it
// in two.
func TestAnswerLines(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\n"
	for _, tt := range []struct {
		name, head, want string
		odd              bool
	}{
		{"order and spelling", ok + "x-B: 1\nA:2\nETag:\t \"x\" \nA: 3\n", ok + "x-B: 1\nA:2\nETag:\t \"x\" \nA: 3\n", false},
		{"reason", "HTTP/1.1 404 Gone  f\xc3\xbcr immer \n", "HTTP/1.1 404 Gone  f\xc3\xbcr immer \n", false},
		{"no reason", "HTTP/1.1 200\n", "HTTP/1.1 200\n", false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\n", ok, false},
		{"HTTP/1.7", "HTTP/1.7 200 OK\n", ok, false},
		{"HTTP/2", "HTTP/2 200 OK\n", "HTTP/2 200 OK\n", true},
		{"lower case", "http/1.1 200 OK\n", "http/1.1 200 OK\n", true},
		{"two blanks", "HTTP/1.1  200 OK\n", "HTTP/1.1  200 OK\n", true},
		{"tab", "HTTP/1.1\t200 OK\n", "HTTP/1.1\t200 OK\n", true},
		{"space in a name", ok + "A b: 1\n", ok + "A b: 1\n", true},
		{"space before the colon", ok + "A : 1\n", ok + "A : 1\n", true},
		{"bracket in a name", ok + "A(b): 1\n", ok + "A(b): 1\n", true},
		{"umlaut in a name", ok + "\xc3\xa4: 1\n", ok + "\xc3\xa4: 1\n", true},
		{"no name", ok + ": 1\n", ok + ": 1\n", true},
		{"no colon", ok + "nonsense\n", ok + "nonsense\n", true},
		{"control character", ok + "A: \x01\n", ok + "A: \x01\n", true},
		{"bytes over 0x7f", ok + "A: \xff\x80\n", ok + "A: \xff\x80\n", false},
		{"NUL", ok + "A: 1\x00B: 2\n", ok + "A: 1 B: 2\n", false},
		{"CR", ok + "A: 1\rB: 2\n", ok + "A: 1 B: 2\n", false},
		{"CR before the end", ok + "A: 1\r\nB: 2\r\r\n", ok + "A: 1\nB: 2\n", false},
		{"CR and LF in the status line", "HTTP/1.1 200 O\rK\n", "HTTP/1.1 200 O K\n", false},
		{"folded", ok + "A: 1 \n\t 2\n  \n 3\nB: 4\n", ok + "A: 1 2 3\nB: 4\n", false},
		{"folded by a CR", ok + "A: 1\n\rB: 2\n", ok + "A: 1 B: 2\n", false},
		{"folded first line", ok + " A: 1\nB: 2\n", ok + "B: 2\n", false},
	} {
		a, err := parse(t, tt.head)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := a.text(); got != tt.want || a.Odd != tt.odd {
			t.Errorf("%s: forwarded as %q, odd: %t; want %q, %t", tt.name, got, a.Odd, tt.want, tt.odd)
		}
	}
}

func TestAnswerIsNone(t *testing.T) {
	for _, head := range []string{
		"SSH-2.0-x\n", "HTTP/2.0 200 OK\n", "HTTP/0.9 200 OK\n", "HTTP/1.10 200 OK\n", "HTTP/1. 200 OK\n", "HTTP/1.x 200 OK\n",
		"HTTP/1.1 20 OK\n", "HTTP/1.1 099 OK\n", "HTTP/1.1 2000 OK\n", "HTTP/1.1 +20 OK\n", "HTTP/1.1 200OK\n", "HTTP/1.1 OK\n",
		"HTTP/1.1\n", " HTTP/1.1 200 OK\n", "ICY 200 OK\n", "HTTP/1.1 200 OK\n" + strings.Repeat("A: 1\n", answerLinesMax+1),
	} {
		if a, err := parse(t, head); !IsMalformed(err) {
			t.Errorf("%.40q: %v, %v; want a malformed error", head, a, err)
		}
	}
}

func TestFraming(t *testing.T) {
	const te = "Transfer-Encoding: "
	for _, tt := range []struct {
		name, head, method string
		want               string // abbreviated Framing
	}{
		{"length", "HTTP/1.1 200 OK\nContent-Length: 5\n", "GET", "5"},
		{"no length", "HTTP/1.1 200 OK\n", "GET", "rest final"},
		{"length 0", "HTTP/1.1 200 OK\nContent-Length: 0\n", "GET", "0"},
		{"length with zeros", "HTTP/1.1 200 OK\nContent-Length: 005\n", "GET", "5"},
		{"same length twice", "HTTP/1.1 200 OK\nContent-Length: 5, 5\n", "GET", "5"},
		{"same length in two fields", "HTTP/1.1 200 OK\nContent-Length: 5\ncontent-length: 05\n", "GET", "5"},
		{"length too large to represent", "HTTP/1.1 200 OK\nContent-Length: 99999999999999999999\n", "GET", "rest final"},
		{"different lengths", "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n", "GET", "error"},
		{"different lengths in one field", "HTTP/1.1 200 OK\nContent-Length: 5, 6\n", "GET", "error"},
		{"two lengths, one not a number", "HTTP/1.1 200 OK\nContent-Length: 5, x\n", "GET", "error"},
		{"negative", "HTTP/1.1 200 OK\nContent-Length: -5\n", "GET", "rest final"},
		{"signed", "HTTP/1.1 200 OK\nContent-Length: +5\n", "GET", "rest final"},
		{"empty", "HTTP/1.1 200 OK\nContent-Length:\n", "GET", "rest final"},
		{"HEAD", "HTTP/1.1 200 OK\nContent-Length: 5\n", "HEAD", "none"},
		{"HEAD, no length", "HTTP/1.1 200 OK\n", "HEAD", "none"},
		{"204", "HTTP/1.1 204 No\n", "GET", "none"},
		{"204 with a length", "HTTP/1.1 204 No\nContent-Length: 5\n", "GET", "none final"},
		{"304", "HTTP/1.1 304 No\nContent-Length: 5\n", "GET", "none"},
		{"103", "HTTP/1.1 103 Early\nContent-Length: 5\n", "GET", "none"},
		{"chunked", "HTTP/1.1 200 OK\n" + te + "Chunked\n", "GET", "chunked"},
		{"chunked and a length", "HTTP/1.1 200 OK\nContent-Length: 3\n" + te + "chunked\n", "GET", "chunked final"},
		{"chunked and two lengths", "HTTP/1.1 200 OK\nContent-Length: 3, 4\n" + te + "chunked\n", "GET", "chunked final"},
		{"chunked HTTP/1.0", "HTTP/1.0 200 OK\nConnection: keep-alive\n" + te + "chunked\n", "GET", "chunked final"},
		{"chunked twice", "HTTP/1.1 200 OK\n" + te + "chunked\n" + te + "chunked\n", "GET", "chunked"},
		{"chunked HEAD", "HTTP/1.1 200 OK\n" + te + "chunked\n", "HEAD", "none"},
		{"space before the colon", "HTTP/1.1 200 OK\nTransfer-Encoding : chunked\n", "GET", "chunked final"},
		{"identity", "HTTP/1.1 200 OK\n" + te + "identity\nContent-Length: 5\n", "GET", "5"},
		{"identity, no length", "HTTP/1.1 200 OK\n" + te + "identity\n", "GET", "rest final"},
		{"identity, chunked", "HTTP/1.1 200 OK\n" + te + "identity, chunked\n", "GET", "chunked"},
		{"no coding", "HTTP/1.1 200 OK\n" + te + "\nContent-Length: 5\n", "GET", "5"},
		{"gzip", "HTTP/1.1 200 OK\n" + te + "gzip\nContent-Length: 5\n", "GET", "rest gzip final"},
		{"gzip, chunked", "HTTP/1.1 200 OK\n" + te + "gzip, chunked\n", "GET", "chunked gzip"},
		{"chunked is not last", "HTTP/1.1 200 OK\n" + te + "chunked, gzip\n", "GET", "chunked gzip"},
		{"close", "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: x, Close\n", "GET", "5 final"},
		{"HTTP/1.0", "HTTP/1.0 200 OK\nContent-Length: 5\n", "GET", "5 final"},
		{"HTTP/1.0 keep-alive", "HTTP/1.0 200 OK\nContent-Length: 5\nConnection: Keep-Alive\n", "GET", "5"},
		{"odd", "HTTP/1.1 200 OK\nnonsense\nContent-Length: 5\n", "GET", "5 final"},
	} {
		a, err := parse(t, tt.head)
		if err != nil {
			t.Fatal(err)
		}
		f, err := a.Framing(tt.method)
		if got := short(f, err); got != tt.want {
			t.Errorf("%s: framing is %s (%v), want %s", tt.name, got, err, tt.want)
		}
	}
}

func short(f Framing, err error) string {
	var words []string
	switch {
	case err != nil:
		return "error"
	case !f.HasBody:
		words = append(words, "none")
	case f.Chunked:
		words = append(words, "chunked")
	case f.Length >= 0:
		words = append(words, strings.TrimLeft(string('0'+rune(f.Length)), " "))
	default:
		words = append(words, "rest")
	}
	words = append(words, f.Codings...)
	if f.Final {
		words = append(words, "final")
	}
	return strings.Join(words, " ")
}

// FuzzAnswer checks that for any response, the forwarded bytes are a single head to
// every parser that ends lines at CR LF, and that parsing them again yields the same
// result.
func FuzzAnswer(f *testing.F) {
	for _, head := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 5, 5\nA: 1\n 2\n", "http/1.0 404\nA b: \x00\r1\n\r x\n", "HTTP/2 200\n: x\nno colon\n\x0b: y\n",
		"HTTP/1.0 200 OK\nTransfer-Encoding: gzip, chunked, identity\nConnection: keep-alive\n",
	} {
		f.Add(head)
	}
	f.Fuzz(func(t *testing.T, head string) {
		a, err := parse(t, head)
		if err != nil || a.Status == 0 {
			return
		}
		b := a.AppendStatus(nil)
		for _, f := range a.Fields {
			b = f.AppendTo(b)
		}
		again := new(Answer)
		for _, l := range bytes.SplitAfter(b, []byte("\r\n")) {
			if len(l) == 0 {
				break
			}
			if bytes.ContainsAny(l[:len(l)-2], "\r\n\x00") || l[0] == ' ' || l[0] == '\t' || len(l) == 2 {
				t.Fatalf("%q is forwarded with the line %q", head, l)
			}
			if err := again.AddLine(bytes.Clone(l)); err != nil {
				t.Fatalf("%q is forwarded as %q, which is malformed: %v", head, b, err)
			}
		}
		again.Minor = a.Minor // a proxy changes it
		if again.Odd && !a.Odd {
			t.Errorf("%q is forwarded as %q, which is odd", head, b)
		}
		again.Odd = a.Odd // the line that made it odd may have been dropped
		mine, err1 := a.Framing(http.MethodGet)
		yours, err2 := again.Framing(http.MethodGet)
		if short(mine, err1) != short(yours, err2) || len(a.Fields) != len(again.Fields) {
			t.Errorf("%q is forwarded as %q: framing %s, then %s", head, b, short(mine, err1), short(yours, err2))
		}
		if a.Odd || err1 != nil {
			return
		}
		if _, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(append(b, "\r\n"...))), nil); err != nil && len(mine.Codings) == 0 &&
			mine.Length >= 0 && len(a.All("Transfer-Encoding")) == 0 && len(a.All("Content-Length")) == 1 && !strings.Contains(a.All("Content-Length")[0], ",") {
			t.Errorf("%q is forwarded as %q, which net/http rejects: %v", head, b, err)
		}
	})
}
