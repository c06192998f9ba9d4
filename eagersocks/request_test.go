package eagersocks

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"tunnels/internal/code"
)

// golden pairs requests with their encodings.
var golden = []struct {
	name string
	req  Request
	wire string
}{
	{"name", Request{Command: Connect, Target: Address{Host: "example.com", Port: 443}},
		"\x05\x01\x00\x03\x0bexample.com\x01\xbb"},
	{"IPv4", Request{Command: Connect, Target: Address{Host: "192.0.2.1", Port: 80}},
		"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"},
	{"IPv6", Request{Command: Connect, Target: Address{Host: "2001:db8::1", Port: 22}},
		"\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x16"},
	{"IPv4-mapped stays IPv6", Request{Command: Connect, Target: Address{Host: "::ffff:192.0.2.1", Port: 80}},
		"\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01\x00\x50"},
	{"reply wanted", Request{Command: Connect, Target: Address{Host: "a", Port: 1}, ReplyWanted: true},
		"\x05\x01\x01\x03\x01a\x00\x01"},
	{"options", Request{Command: Connect, Target: Address{Host: "a", Port: 1}, Options: []Option{{1, []byte("net")}, {9, []byte{}}}},
		"\x05\x01\x02\x03\x01a\x00\x01\x00\x09\x01\x00\x03net\x09\x00\x00"},
	{"udp to anywhere", Request{Command: UDP, Target: Address{Host: "0.0.0.0", Port: 0}, ReplyWanted: true},
		"\x05\x03\x01\x01\x00\x00\x00\x00\x00\x00"},
	{"longest name", Request{Command: Connect, Target: Address{Host: strings.Repeat("x", 255), Port: 65535}},
		"\x05\x01\x00\x03\xff" + strings.Repeat("x", 255) + "\xff\xff"},
}

func TestGolden(t *testing.T) {
	for _, tt := range golden {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.req.AppendBinary([]byte("before"))
			if err != nil || string(got) != "before"+tt.wire {
				t.Errorf("AppendBinary(%+v) = %q, %v; want it to append %q", tt.req, got, err, tt.wire)
			}
			for name, wrap := range map[string]func(io.Reader) io.Reader{
				"all at once": func(r io.Reader) io.Reader { return r }, "bytewise": iotest.OneByteReader, "error with data": iotest.DataErrReader,
			} {
				rest := strings.NewReader(tt.wire + "the session's")
				req, err := ReadRequest(wrap(struct{ io.Reader }{rest}))
				if err != nil || !reflect.DeepEqual(*req, tt.req) {
					t.Errorf("%s: ReadRequest(%q) = %+v, %v; want %+v", name, tt.wire, req, err, tt.req)
				}
				if left, _ := io.ReadAll(rest); name != "error with data" && string(left) != "the session's" {
					t.Errorf("%s: ReadRequest left %q, want the session's bytes", name, left)
				}
			}
		})
	}
}

func TestFewReads(t *testing.T) {
	for _, tt := range golden {
		want := 2
		if len(tt.req.Options) > 0 {
			want = 3
		}
		r := &countingReader{Reader: strings.NewReader(tt.wire)}
		if _, err := ReadRequest(r); err != nil || r.n > want {
			t.Errorf("%s: ReadRequest needed %d reads, %v; want %d", tt.name, r.n, err, want)
		}
	}
}

type countingReader struct {
	io.Reader
	n int
}

func (r *countingReader) Read(p []byte) (int, error) { r.n++; return r.Reader.Read(p) }

func TestReadRequestRefuses(t *testing.T) {
	const good = "\x05\x01\x00\x03\x03foo\x00\x50"
	name := func(s string) string { return "\x05\x01\x00\x03" + string(rune(len(s))) + s + "\x00\x50" }
	for _, tt := range []struct {
		name, wire string
		want       code.Code
	}{
		{"version", "\x04" + good[1:], code.Protocol},
		{"text", "GET / HTTP/1.1\r\n\r\n", code.Protocol},
		{"flag", "\x05\x01\x04" + good[3:], code.Protocol},
		{"highest flag", "\x05\x01\x80" + good[3:], code.Protocol},
		{"bind", "\x05\x02" + good[2:], code.CommandUnsupported},
		{"command 0", "\x05\x00" + good[2:], code.CommandUnsupported},
		{"address type", "\x05\x01\x00\x02" + good[4:], code.AddressUnsupported},
		{"empty name", "\x05\x01\x00\x03\x00\x00\x50", code.AddressUnsupported},
		{"port 0", "\x05\x01\x00\x03\x03foo\x00\x00", code.AddressUnsupported},
		{"port 0 of an address", "\x05\x01\x00\x01\x01\x02\x03\x04\x00\x00", code.AddressUnsupported},
		{"NUL", name("a\x00b"), code.AddressUnsupported},
		{"newline", name("a\nb"), code.AddressUnsupported},
		{"escape", name("a\x1b[0m"), code.AddressUnsupported},
		{"space", name("a b"), code.AddressUnsupported},
		{"no-break space", name("a\u00a0b"), code.AddressUnsupported},
		{"line separator", name("a\u2028b"), code.AddressUnsupported},
		{"not UTF-8", name("a\xff"), code.AddressUnsupported},
		{"colon", name("a:80"), code.AddressUnsupported},
		{"brackets", name("[::1]"), code.AddressUnsupported},
		{"IPv4 as name", name("192.0.2.1"), code.Protocol},
		{"IPv6 as name", name("::1"), code.Protocol},
		{"zone", name("fe80::1%eth0"), code.Protocol},
		{"no options", "\x05\x01\x02\x03\x01a\x00\x01\x00\x00", code.Protocol},
		{"long options", "\x05\x01\x02\x03\x01a\x00\x01\x04\x01" + strings.Repeat("x", 1025), code.Protocol},
		{"option head cut", "\x05\x01\x02\x03\x01a\x00\x01\x00\x02\x01\x00", code.Protocol},
		{"option cut", "\x05\x01\x02\x03\x01a\x00\x01\x00\x04\x01\x00\x02x", code.Protocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := ReadRequest(strings.NewReader(tt.wire))
			wantCode(t, "ReadRequest", err, tt.want)
			if req != nil {
				t.Errorf("ReadRequest = %+v and an error", req)
			}
		})
	}
}

func TestReadRequestCutShort(t *testing.T) {
	for _, tt := range golden {
		for n := range len(tt.wire) {
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if _, err := ReadRequest(strings.NewReader(tt.wire[:n])); !errors.Is(err, want) {
				t.Errorf("%s: ReadRequest of the first %d bytes = %v, want %v", tt.name, n, err, want)
			}
		}
	}
}

func TestAppendBinaryRefuses(t *testing.T) {
	good := Address{Host: "a", Port: 1}
	for _, tt := range []struct {
		name string
		req  Request
		want code.Code
	}{
		{"no command", Request{Target: good}, code.CommandUnsupported},
		{"bind", Request{Command: 2, Target: good}, code.CommandUnsupported},
		{"no host", Request{Command: Connect, Target: Address{Host: "", Port: 1}}, code.AddressUnsupported},
		{"no port", Request{Command: Connect, Target: Address{Host: "a", Port: 0}}, code.AddressUnsupported},
		{"long name", Request{Command: Connect, Target: Address{Host: strings.Repeat("x", 256), Port: 1}}, code.AddressUnsupported},
		{"NUL", Request{Command: Connect, Target: Address{Host: "a\x00", Port: 1}}, code.AddressUnsupported},
		{"zone", Request{Command: Connect, Target: Address{Host: "fe80::1%eth0", Port: 1}}, code.AddressUnsupported},
		{"options", Request{Command: Connect, Target: good, Options: []Option{{1, make([]byte, 1022)}}}, code.Protocol},
		{"huge option", Request{Command: Connect, Target: good, Options: []Option{{1, make([]byte, 1<<16+1)}}}, code.Protocol},
	} {
		b, err := tt.req.AppendBinary([]byte("x"))
		wantCode(t, tt.name+": AppendBinary", err, tt.want)
		if string(b) != "x" {
			t.Errorf("%s: AppendBinary appended %q and returned an error", tt.name, b)
		}
	}
	largest := Request{Command: Connect, Target: good, Options: []Option{{1, make([]byte, 1021)}}}
	b, err := largest.AppendBinary(nil)
	if err != nil {
		t.Fatalf("AppendBinary with 1024 bytes of options = %v", err)
	}
	if _, err := ReadRequest(bytes.NewReader(b)); err != nil {
		t.Errorf("ReadRequest with 1024 bytes of options = %v", err)
	}
}

func FuzzReadRequest(f *testing.F) {
	for _, tt := range golden {
		f.Add([]byte(tt.wire))
		f.Add([]byte(tt.wire + "more"))
	}
	f.Add([]byte("\x05\x01\x00\x03\x09127.0.0.1\x00\x50"))
	f.Add([]byte("\x05\x01\x02\x03\x01a\x00\x01\x00\x00"))
	f.Add([]byte("\x05\x01\x00\x03\x05[::1]\x00\x50"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bytes.NewReader(wire)
		req, err := ReadRequest(r)
		if err != nil {
			return
		}
		got, err := req.AppendBinary(nil)
		if read := wire[:len(wire)-r.Len()]; err != nil || !bytes.Equal(got, read) {
			t.Errorf("%+v was read from %q but is written as %q, %v", req, read, got, err)
		}
		if again, err := ParseAddress(req.Target.String()); req.Target.Port != 0 && (err != nil || again != req.Target) {
			t.Errorf("ParseAddress(%q) = %v, %v; want the same", req.Target, again, err)
		}
	})
}
