package load

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// script plays a server: each step reads the expected number of bytes, compares them, and
// replies.
func script(t *testing.T, c net.Conn, steps [][2]string) {
	t.Helper()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	for i, s := range steps {
		got := make([]byte, len(s[0]))
		if _, err := io.ReadFull(c, got); err != nil {
			t.Errorf("step %d: %v", i, err)
			return
		}
		if string(got) != s[0] {
			t.Errorf("step %d: got %x, want %x", i, got, s[0])
		}
		if _, err := io.WriteString(c, s[1]); err != nil {
			t.Errorf("step %d: %v", i, err)
			return
		}
	}
}

func TestRequest(t *testing.T) {
	const v4, v6 = "127.0.0.1:8080", "[::1]:443"
	const request4 = "\x05\x01\x00\x01\x7f\x00\x00\x01\x1f\x90"
	const request6 = "\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb"
	const granted = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	tests := []struct {
		name   string
		d      Dialer
		target string
		steps  [][2]string
		want   string // part of the error, or empty for none
	}{
		{"plain", Dialer{}, v4, [][2]string{{"\x05\x01\x00", "\x05\x00"}, {request4, granted}}, ""},
		{"address of version 6", Dialer{}, v6, [][2]string{{"\x05\x01\x00", "\x05\x00"}, {request6, granted}}, ""},
		{"pipelined", Dialer{Pipelined: true}, v4, [][2]string{{"\x05\x01\x00" + request4, "\x05\x00" + granted}}, ""},
		{"password", Dialer{User: "me", Password: "pw", Pipelined: true}, v4,
			[][2]string{{"\x05\x01\x02", "\x05\x02"}, {"\x01\x02me\x02pw", "\x01\x00"}, {request4, granted}}, ""},
		{"bound to a name", Dialer{}, v4, [][2]string{{"\x05\x01\x00", "\x05\x00"}, {request4, "\x05\x00\x00\x03\x03abc\x00\x00"}}, ""},
		{"wrong password", Dialer{User: "me"}, v4, [][2]string{{"\x05\x01\x02", "\x05\x02"}, {"\x01\x02me\x00", "\x01\x01"}}, "refused"},
		{"no method", Dialer{}, v4, [][2]string{{"\x05\x01\x00", "\x05\xff"}}, "want 0500"},
		{"refused", Dialer{}, v4, [][2]string{{"\x05\x01\x00", "\x05\x00"}, {request4, "\x05\x05\x00\x01\x00"}}, "code 5"},
		{"not SOCKS5", Dialer{}, v4, [][2]string{{"\x05\x01\x00", "\x05\x00"}, {request4, "\x04\x00\x00\x01\x00"}}, "want 5"},
		{"strange address", Dialer{}, v4, [][2]string{{"\x05\x01\x00", "\x05\x00"}, {request4, "\x05\x00\x00\x09\x00"}}, "type 9"},
		{"no address", Dialer{}, "nonsense", nil, "target"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := net.Pipe()
			defer c.Close()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				script(t, s, tt.steps)
				io.WriteString(s, "data") // must be left unread for the application
				s.Close()
			}()
			err := tt.d.request(c, tt.target)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("request = %v, want none", err)
			case tt.want == "":
				if rest, _ := io.ReadAll(c); string(rest) != "data" {
					t.Errorf("after the reply %q is left, want \"data\"", rest)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("request = %v, want an error with %q", err, tt.want)
			}
			c.Close()
			<-ended
		})
	}
}

func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x00\x00\x03\x01a\x00\x50", "\x05\x05\x00", "\x05\x00\x00\x04", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		if err := readReply(r); err == nil && (b[0] != 5 || b[1] != 0 || len(b)-r.Len() > 5+255+2) {
			t.Errorf("readReply(%x) = nil after %d bytes", b, len(b)-r.Len())
		}
	})
}
