package eagersocks

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"tunnels/internal/code"
)

func TestAppendReply(t *testing.T) {
	for c, want := range map[code.Code]string{
		code.OK:            "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00",
		code.Refused:       "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00",
		code.Overload:      "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00",
		code.NotAuthorised: "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
	} {
		if got := AppendReply(nil, c); string(got) != want {
			t.Errorf("AppendReply(%v) = %q, want %q", c, got, want)
		}
	}
}

func TestReadReply(t *testing.T) {
	for _, tt := range []struct {
		wire string
		want code.Code
	}{
		{"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", code.OK},
		{"\x05\x05\x00\x01\x01\x02\x03\x04\x00\x50", code.Refused},
		{"\x05\x08\x00\x04" + strings.Repeat("\x01", 18), code.AddressUnsupported},
		{"\x05\x00\x00\x03\x03foo\x00\x50", code.OK},
		{"\x05\x00\x00\x03\x00\x00\x50", code.OK},
		{"\x05\x09\x00\x01\x00\x00\x00\x00\x00\x00", code.General},
		{"\x05\xff\x00\x01\x00\x00\x00\x00\x00\x00", code.General},
	} {
		r := strings.NewReader(tt.wire + "data")
		got, err := ReadReply(r)
		left, _ := io.ReadAll(r)
		if got != tt.want || err != nil || string(left) != "data" {
			t.Errorf("ReadReply(%q) = %v, %v and left %q; want %v and the data", tt.wire, got, err, left, tt.want)
		}
		for n := range len(tt.wire) {
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if _, err := ReadReply(strings.NewReader(tt.wire[:n])); !errors.Is(err, want) {
				t.Errorf("ReadReply(%q) = %v, want %v", tt.wire[:n], err, want)
			}
		}
	}
	for _, wire := range []string{
		"\x04\x00\x00\x01\x00\x00\x00\x00\x00\x00",
		"\x05\x00\x01\x01\x00\x00\x00\x00\x00\x00",
		"\x05\x00\x00\x02\x00\x00\x00\x00\x00\x00",
		"HTTP/1.1 200 OK\r\n",
	} {
		_, err := ReadReply(strings.NewReader(wire))
		wantCode(t, "ReadReply", err, code.Protocol)
	}
}

func FuzzReadReply(f *testing.F) {
	for _, c := range []code.Code{code.OK, code.General, code.AddressUnsupported} {
		f.Add(AppendReply(nil, c))
	}
	f.Add([]byte("\x05\x00\x00\x03\x03foo\x00\x50more"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bytes.NewReader(wire)
		c, err := ReadReply(r)
		if err != nil {
			if c == code.OK {
				t.Errorf("ReadReply(%q) = ok, but with error %v", wire, err)
			}
			return
		}
		again, err := ReadReply(bytes.NewReader(AppendReply(nil, c)))
		if again != c || err != nil {
			t.Errorf("reply %v reads back as %v, %v", c, again, err)
		}
	})
}
