package datagram

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tunnels/internal/code"
)

// golden maps targets to their headers.
var golden = map[string]string{
	"192.0.2.1:53":                           "\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x35",
	"[2001:db8::1]:443":                      "\x00\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb",
	"[::ffff:192.0.2.1]:1":                   "\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01\x00\x01",
	"dns.example:53":                         "\x00\x00\x00\x03\x0bdns.example\x00\x35",
	strings.Repeat("x", 255) + ":" + "65535": "\x00\x00\x00\x03\xff" + strings.Repeat("x", 255) + "\xff\xff",
}

func TestGolden(t *testing.T) {
	for s, wire := range golden {
		target := mustTarget(t, s)
		if got := string(target.appendHeader(nil)); got != wire || len(got) != target.headerSize() {
			t.Errorf("%s: header %q of %d bytes, want %q", s, got, target.headerSize(), wire)
		}
		for _, data := range []string{"", "data"} {
			d, err := parseRecord([]byte(wire + data))
			if err != nil || d.target != target || string(d.data) != data || d.fragment != 0 {
				t.Errorf("parseRecord(%q) = %+v, %v; want %v and %q", wire+data, d, err, target, data)
			}
		}
		for n := range len(wire) {
			_, err := parseRecord([]byte(wire[:n]))
			wantCode(t, "parseRecord of a truncated header", err, code.Protocol)
		}
	}
}

func TestRefusedHeaders(t *testing.T) {
	name := func(s string) string { return "\x00\x00\x00\x03" + string(rune(len(s))) + s + "\x00\x35" }
	for what, wire := range map[string]string{
		"reserved":     "\x01\x00\x00\x01\xc0\x00\x02\x01\x00\x35",
		"reserved 2":   "\x00\x01\x00\x01\xc0\x00\x02\x01\x00\x35",
		"type 0":       "\x00\x00\x00\x00\xc0\x00\x02\x01\x00\x35",
		"type 2":       "\x00\x00\x00\x02\xc0\x00\x02\x01\x00\x35",
		"port 0":       "\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x00",
		"empty name":   name(""),
		"NUL":          name("a\x00"),
		"newline":      name("a\nb"),
		"port in name": name("a:1"),
		"IPv4 as name": name("192.0.2.1"),
		"IPv6 as name": name("::1"),
		"zone":         name("fe80::1%eth0"),
		"not UTF-8":    "\x00\x00\x00\x03\x02a\xff\x00\x35",
	} {
		d, err := parseRecord([]byte(wire))
		wantCode(t, what, err, code.Protocol)
		if d.target != (Target{}) || d.data != nil {
			t.Errorf("%s: %+v along with an error", what, d)
		}
	}
}

// TestLenientHeaders: headers from applications are accepted if unusual but valid.
func TestLenientHeaders(t *testing.T) {
	for wire, want := range map[string]string{
		"\x12\x34\x00\x01\xc0\x00\x02\x01\x00\x35":        "192.0.2.1:53",
		"\x00\x00\x00\x03\x09192.0.2.1\x00\x35":           "192.0.2.1:53",
		"\x00\x00\x00\x03\x0b2001:db8::1\x00\x35":         "[2001:db8::1]:53",
		"\x00\x00\x00\x03\x05[::1]\x00\x35":               "[::1]:53",
		"\x00\x00\x00\x03\x0b[192.0.2.1]\x00\x35":         "192.0.2.1:53",
		"\x00\x00\x07\x03\x01a\x00\x35":                   "a:53",
		"\x00\x00\x00\x03\x10::ffff:192.0.2.1\x00\x35xyz": "[::ffff:192.0.2.1]:53",
	} {
		d, err := parse([]byte(wire))
		if err != nil || d.target != mustTarget(t, want) || d.fragment != wire[2] {
			t.Errorf("parse(%q) = %+v, %v; want %s", wire, d, err, want)
		}
	}
}

func TestRecordReader(t *testing.T) {
	var wire []byte
	var want []string
	for i, size := range []int{0, 1, 5, 16, 3000, recordMax - 10, 0, 65000, 7} {
		data := strings.Repeat(string(rune('a'+i)), size)
		want = append(want, data)
		wire = append(wire, record(t, "192.0.2.1:53", data)...)
	}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader,
		"halves": iotest.HalfReader, "error with data": iotest.DataErrReader,
	} {
		r := recordReader{from: wrap(bytes.NewReader(wire))}
		for i, data := range want {
			if from, got := next(t, &r); got != data || from != "192.0.2.1:53" {
				t.Errorf("%s: record %d is %d bytes from %s, want %d", name, i, len(got), from, len(data))
			}
		}
		if _, err := r.next(); err != io.EOF || r.buf != nil {
			t.Errorf("%s: ends with %v, buffer held: %v; want EOF and no buffer", name, err, r.buf != nil)
		}
	}
	short := record(t, "192.0.2.1:53", "data")
	for n := 1; n < len(short); n++ {
		r := recordReader{from: bytes.NewReader(short[:n])}
		if _, err := r.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of %d: %v, want unexpected EOF", n, len(short), err)
		}
		r.release()
	}
}

// FuzzRecords feeds arbitrary bytes from the peer: records are split the same way
// however the bytes arrive, and a parsed datagram encodes back to the same bytes.
func FuzzRecords(f *testing.F) {
	for s, wire := range golden {
		f.Add(record(f, s, "data"))
		f.Add([]byte(wire))
	}
	f.Add([]byte("\x00\x00\x00\x0a\x00\x00\x01\x01\xc0\x00\x02\x01\x00\x35"))
	f.Add([]byte("\x00\x0f\x00\x00\x00\x03\x09192.0.2.1\x00\x35"))
	f.Fuzz(func(t *testing.T, input []byte) {
		whole := recordReader{from: bytes.NewReader(input)}
		cut := recordReader{from: iotest.OneByteReader(bytes.NewReader(input))}
		for {
			a, err1 := whole.next()
			b, err2 := cut.next()
			if !bytes.Equal(a, b) || (err1 == nil) != (err2 == nil) || (err1 == io.EOF) != (err2 == io.EOF) {
				t.Fatalf("%q: in one read %q, %v; byte by byte %q, %v", input, a, err1, b, err2)
			}
			if err1 != nil {
				return
			}
			d, err := parseRecord(a)
			if err != nil {
				continue
			}
			again := append(d.target.appendHeader(nil), d.data...)
			again[2] = d.fragment
			if !bytes.Equal(again, a) {
				t.Errorf("%q is encoded as %q", a, again)
			}
			if loose, err := parse(a); err != nil || loose.target != d.target {
				t.Errorf("%q: parse = %v, %v; parseRecord = %v", a, loose.target, err, d.target)
			}
		}
	})
}
