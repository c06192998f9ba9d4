package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// crlf returns s with \n replaced by CR LF.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// recode reads a chunked body and re-encodes it for forwarding. It returns the error
// that ended the body, or io.EOF if it is complete.
func recode(c *Chunked) (data, again []byte, err error) {
	buf := make([]byte, 7)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			data = append(data, buf[:n]...)
			again = c.AppendPiece(again, buf[:n])
		}
		if err != nil {
			return data, again, err
		}
	}
}

func TestChunked(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 300)
	for _, tt := range []struct {
		name, wire   string
		data, again  string // again is the body as forwarded, without the last chunk
		trailers     string // names of the trailers
		lenient, cut bool   // rejected only if strict; truncated
		refused      bool   // rejected in both modes
	}{
		{"one", "3\nabc\n0\n\n", "abc", "3\nabc\n", "", false, false, false},
		{"none", "0\n\n", "", "", "", false, false, false},
		{"sizes as received", "003\nabc\nA\n0123456789\n000\n\n", "abc0123456789", "003\nabc\nA\n0123456789\n", "", false, false, false},
		{"extensions", "3;x=1\nabc\n2 ; y\nde\n0;z\n\n", "abcde", "3\nabc\n2\nde\n", "", false, false, false},
		{"padded", "3  \nabc\n0  \n\n", "abc", "3\nabc\n", "", false, false, false},
		{"large", "12c0\n" + long + "\n0\n\n", long, "12c0\n" + long + "\n", "", false, false, false},
		{"trailers", "1\na\n0\nX: 1\ny:2\n\n", "a", "1\na\n", "X y", false, false, false},
		{"odd trailers", "1\na\n0\nX: 1\n 2\nno field\nA b: 1\n\n", "a", "1\na\n", "X", true, false, false},
		{"junk after the size", "3zz\nabc\n0\n\n", "abc", "3\nabc\n", "", true, false, false},
		{"control character", "3;\x01\nabc\n0\n\n", "abc", "3\nabc\n", "", true, false, false},
		{"no size", "\nabc\n0\n\n", "", "", "", false, false, true},
		{"size is not a number", "xyz\nabc\n0\n\n", "", "", "", false, false, true},
		{"size with a sign", "+3\nabc\n0\n\n", "", "", "", false, false, true},
		{"size after a blank", " 3\nabc\n0\n\n", "", "", "", false, false, true},
		{"size of 17 digits", "00000000000000003\nabc\n0\n\n", "", "", "", false, false, true},
		{"size too large to represent", "ffffffffffffffff\nabc\n0\n\n", "", "", "", false, false, true},
		{"chunk longer than its size", "2\nabc\n0\n\n", "ab", "2\nab\n", "", false, false, true},
		{"long extension", "1;" + strings.Repeat("x", 5000) + "\na\n0\n\n", "", "", "", false, false, true},
		{"many extensions", strings.Repeat("1;"+strings.Repeat("x", 1000)+"\na\n", 30) + "0\n\n", "?", "?", "", false, false, true},
		{"many trailers", "0\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\n", 100) + "\n", "", "", "?", false, false, true},
		{"cut in a size", "3\nabc\n1", "abc", "3\nabc\n", "", false, true, false},
		{"cut in a chunk", "3\nab", "ab", "3\nab", "", false, true, false},
		{"cut after a chunk", "3\nabc", "abc", "3\nabc\n", "", false, true, false},
		{"cut before the last chunk", "3\nabc\n", "abc", "3\nabc\n", "", false, true, false},
		{"cut before the trailers", "3\nabc\n0\n", "abc", "3\nabc\n", "", false, true, false},
		{"cut in the trailers", "3\nabc\n0\nX: 1\n", "abc", "3\nabc\n", "?", false, true, false},
	} {
		for _, strict := range []bool{false, true} {
			for pieces, r := range map[string]io.Reader{"whole": strings.NewReader(crlf(tt.wire)), "bytes": iotest.OneByteReader(strings.NewReader(crlf(tt.wire)))} {
				c := NewChunked(bufio.NewReader(r), strict)
				data, again, err := recode(c)
				if strict && tt.lenient || tt.refused {
					if !IsMalformed(err) {
						t.Errorf("%s (strict: %t, %s): %q, %v; want a malformed error", tt.name, strict, pieces, data, err)
					}
					continue
				}
				want := io.EOF
				if tt.cut {
					want = io.ErrUnexpectedEOF
				}
				if string(data) != tt.data || string(again) != crlf(tt.again) || err != want {
					t.Errorf("%s (strict: %t, %s): read %q, forwarded as %q, %v; want %q, %q, %v", tt.name, strict, pieces, data, again, err, tt.data, crlf(tt.again), want)
				}
				var names []string
				for _, f := range c.Trailers {
					names = append(names, f.Name)
				}
				if got := strings.Join(names, " "); got != tt.trailers && tt.trailers != "?" {
					t.Errorf("%s (strict: %t, %s): trailers %q, want %q", tt.name, strict, pieces, got, tt.trailers)
				}
			}
		}
	}
	for _, strict := range []bool{false, true} { // the very last byte is missing
		data, _, err := recode(NewChunked(bufio.NewReader(strings.NewReader("3\r\nabc\r\n0\r\n\r")), strict))
		if want := map[bool]error{false: io.EOF, true: io.ErrUnexpectedEOF}[strict]; string(data) != "abc" || err != want {
			t.Errorf("without the last LF (strict: %t): %q, %v; want %v", strict, data, err, want)
		}
	}
	for _, strict := range []bool{false, true} { // bare line feeds
		data, _, err := recode(NewChunked(bufio.NewReader(strings.NewReader("3\nabc\n0\n\n")), strict))
		if ok := err == io.EOF && string(data) == "abc"; ok == strict {
			t.Errorf("bare line feeds (strict: %t): %q, %v", strict, data, err)
		}
	}
}

// stuttering times out before every byte.
type stuttering struct {
	r    io.Reader
	tick bool
}

func (s *stuttering) Read(p []byte) (int, error) {
	if s.tick = !s.tick; s.tick {
		return 0, os.ErrDeadlineExceeded
	}
	return s.r.Read(p[:1])
}

// TestBodiesGoOnAfterTimeouts checks that a timeout does not lose any part of a body.
func TestBodiesGoOnAfterTimeouts(t *testing.T) {
	slow := func(wire string) *bufio.Reader { return bufio.NewReader(&stuttering{r: strings.NewReader(wire)}) }
	for want, body := range map[string]Body{
		"abcde": NewChunked(slow(crlf("3;x\nabc\n2\nde\n0\nX: 1\n\n")), true),
		"fghij": NewFixed(slow("fghij"), 5),
	} {
		var got []byte
		for {
			b := make([]byte, 4)
			n, err := body.Read(b)
			got = append(got, b[:n]...)
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				if err != io.EOF {
					t.Errorf("%T: %v, want io.EOF", body, err)
				}
				break
			}
		}
		if string(got) != want {
			t.Errorf("%T: read %q, want %q", body, got, want)
		}
	}
}

func TestFixed(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("hello"))
	if got, err := io.ReadAll(NewFixed(in, 3)); string(got) != "hel" || err != nil {
		t.Errorf("3 of 5 bytes: %q, %v", got, err)
	}
	if got, err := io.ReadAll(NewFixed(in, 3)); string(got) != "lo" || err != io.ErrUnexpectedEOF {
		t.Errorf("3 of the last 2 bytes: %q, %v; want io.ErrUnexpectedEOF", got, err)
	}
}

// TestReady checks that a body is ready exactly when its next bytes have arrived.
func TestReady(t *testing.T) {
	for _, tt := range []struct {
		here string
		want bool
	}{
		{"", false}, {"3", false}, {"3\n", false}, {"3\na", true}, {"0\n", false}, {"0\n\n", true}, {"0\nX: 1", false}, {"0\nX: 1\n", true}, {"\n", false},
	} {
		in := bufio.NewReader(strings.NewReader("!" + crlf(tt.here)))
		_, _ = in.ReadByte() // the rest is buffered
		if got := NewChunked(in, false).Ready(); got != tt.want {
			t.Errorf("with %q buffered, Ready() = %t, want %t", tt.here, got, tt.want)
		}
	}
	in := bufio.NewReader(strings.NewReader(crlf("2\nab\n1\nc\n0\n\n")))
	c := NewChunked(in, false)
	for i, want := range []string{"ab", "c", ""} {
		b := make([]byte, 8)
		if n, _ := c.Read(b); string(b[:n]) != want {
			t.Errorf("piece %d is %q, want %q", i, b[:n], want)
		}
		if !c.Ready() {
			t.Errorf("after piece %d the body is not ready, although all of it has arrived", i)
		}
	}
}

// FuzzChunked checks that another parser reads the same data from the forwarded body,
// and that a strict reader never accepts a body that a lenient one rejects.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{"3\nabc\n0\n\n", "3;x\nabc\n002\nde\n0\nX: 1\n\nmore", "3zz\nabc\n0\n\n", "1\na\n1\nb", "fffffffff\nabc", "7000000000000000\n0", "fffffffffffffff\nabc", "0\nX: 1\n 2\n\n"} {
		f.Add([]byte(crlf(s)))
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		c := NewChunked(bufio.NewReader(bytes.NewReader(wire)), false)
		data, again, err := recode(c)
		if err == io.EOF {
			again = append(again, "0\r\n\r\n"...)
		}
		got, gotErr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(again)))
		if !bytes.Equal(got, data) || (gotErr == nil) != (err == io.EOF) {
			t.Errorf("%q: read %q, %v; forwarded as %q, which net/http reads as %q, %v", wire, data, err, again, got, gotErr)
		}
		strict, _, serr := recode(NewChunked(bufio.NewReader(bytes.NewReader(wire)), true))
		if !bytes.HasPrefix(data, strict) || serr == io.EOF && err != io.EOF {
			t.Errorf("%q: strict reader: %q, %v; lenient: %q, %v", wire, strict, serr, data, err)
		}
	})
}
