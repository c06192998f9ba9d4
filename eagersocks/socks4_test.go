package eagersocks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"tunnels/internal/code"
	"tunnels/internal/hostname"
	"tunnels/internal/splice"
)

const (
	request4Bytes  = "\x04\x01\x00\x50\xc0\x00\x02\x01" // SOCKS4, CONNECT 192.0.2.1:80
	request4aBytes = "\x04\x01\x01\xbb\x00\x00\x00\x01" // SOCKS4a, CONNECT port 443
	granted        = "\x00\x5a\x00\x00\x00\x00\x00\x00"
	rejected       = "\x00\x5b\x00\x00\x00\x00\x00\x00"
	wrongUser      = "\x00\x5d\x00\x00\x00\x00\x00\x00"
)

// knownUser is an Authenticator that accepts one user and never blocks.
type knownUser struct{ name, password string }

func (u knownUser) Check(_ net.Addr, name, password string) error {
	if name == u.name && password == u.password {
		return nil
	}
	return errWrong
}

func TestSocks4AtTheDoor(t *testing.T) {
	alice := knownUser{"alice", "a:secret"}
	name := strings.Repeat("x", 255)
	for _, tt := range []struct {
		name, wire string
		users      Authenticator
		want       Address // zero means refused
		said       string
	}{
		{"4", request4Bytes + "\x00", nil, Address{Host: "192.0.2.1", Port: 80}, ""},
		{"4 with id", request4Bytes + "root\x00", nil, Address{Host: "192.0.2.1", Port: 80}, ""},
		{"4a", request4aBytes + "\x00example.com\x00", nil, Address{Host: "example.com", Port: 443}, ""},
		{"4a with id", request4aBytes + "me\x00example.com\x00", nil, Address{Host: "example.com", Port: 443}, ""},
		{"4a with an address", request4aBytes + "\x00::1\x00", nil, Address{Host: "::1", Port: 443}, ""},
		{"4a with the longest name", request4aBytes + "\x00" + name + "\x00", nil, Address{Host: name, Port: 443}, ""},
		{"0.0.0.0 is an address", "\x04\x01\x00\x50\x00\x00\x00\x00\x00", nil, Address{Host: "0.0.0.0", Port: 80}, ""},
		{"longest id", request4Bytes + strings.Repeat("u", 512) + "\x00", nil, Address{Host: "192.0.2.1", Port: 80}, ""},
		{"right user", request4Bytes + "alice:a:secret\x00", alice, Address{Host: "192.0.2.1", Port: 80}, ""},
		{"right user, 4a", request4aBytes + "alice:a:secret\x00example.com\x00", alice, Address{Host: "example.com", Port: 443}, ""},

		{"wrong password", request4Bytes + "alice:b\x00", alice, Address{}, wrongUser},
		{"wrong user", request4aBytes + "bob:a:secret\x00example.com\x00", alice, Address{}, wrongUser},
		{"no password", request4Bytes + "alice\x00", alice, Address{}, wrongUser},
		{"no user", request4Bytes + "\x00", alice, Address{}, wrongUser},
		{"wrong user is reported first", "\x04\x02\x00\x00\x01\x01\x01\x01\x00", alice, Address{}, wrongUser},
		{"bind", "\x04\x02" + request4Bytes[2:] + "\x00", nil, Address{}, rejected},
		{"command 0", "\x04\x00" + request4Bytes[2:] + "\x00", nil, Address{}, rejected},
		{"port 0", "\x04\x01\x00\x00\xc0\x00\x02\x01\x00", nil, Address{}, rejected},
		{"empty name", request4aBytes + "\x00\x00", nil, Address{}, rejected},
		{"newline in name", request4aBytes + "\x00a\r\nb\x00", nil, Address{}, rejected},
		{"id too long", request4Bytes + strings.Repeat("u", 513) + "\x00", nil, Address{}, rejected},
		{"id without end", request4Bytes + strings.Repeat("u", 100_000), nil, Address{}, rejected},
		{"name too long", request4aBytes + "\x00" + name + "x\x00", nil, Address{}, rejected},
		{"cut in the head", request4Bytes[:7], nil, Address{}, ""},
		{"cut in the id", request4Bytes + "me", nil, Address{}, ""},
		{"cut in the name", request4aBytes + "me\x00example", nil, Address{}, ""},
	} {
		for _, slowly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s slowly=%v", tt.name, slowly), func(t *testing.T) {
				var r io.Reader = strings.NewReader(tt.wire)
				if slowly {
					r = iotest.OneByteReader(r)
				}
				c := newScripted(r)
				conn, req, err := newDoor(&Config{Users: tt.users}).read(c)
				if got := c.said.String(); got != tt.said {
					t.Errorf("application received %q, want %q", got, tt.said)
				}
				if tt.want == (Address{}) {
					if err == nil || conn != nil || req != nil {
						t.Errorf("read = %v, %v, %v; want only an error", conn, req, err)
					} else if strings.Contains(err.Error(), "secret") {
						t.Errorf("error %q contains a password", err)
					}
				} else if err != nil || req.Target != tt.want || req.Command != Connect {
					t.Errorf("read = %+v, %v; want a request for %v", req, err, tt.want)
				}
			})
		}
	}
}

func TestSocks4Answers(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		ln := mustListen(t, ListenSocks)
		app := dialTo(t, ln).(*net.TCPConn)
		payload := strings.Repeat("early ", 1000)
		io.WriteString(app, request4aBytes+"\x00example.com\x00"+payload)
		app.CloseWrite()
		conn, req := mustAccept(t, ln)
		done := make(chan error, 1)
		want := granted
		if refuse {
			want = rejected
			go func() { done <- req.Refuse(code.Refused, "no listener") }()
		} else {
			done <- req.Reply()
			if got, err := io.ReadAll(conn); string(got) != payload || err != nil {
				t.Errorf("read %d bytes, %v; want the %d sent early", len(got), err, len(payload))
			}
			splice.Abort(conn, code.Cancelled, "")
		}
		wantRead(t, app, want)
		app.Close()
		if err := <-done; err != nil {
			t.Errorf("answering = %v", err)
		}
	}
}

// FuzzSocks4 checks that the parser never consumes more than the limit, requests more
// bytes only if they could complete a valid request, and parses the bytes it consumed in
// the same way.
func FuzzSocks4(f *testing.F) {
	for _, s := range []string{
		request4Bytes + "\x00", request4Bytes + "alice:secret\x00payload",
		request4aBytes + "\x00example.com\x00payload", request4aBytes + "me\x00\x00", request4aBytes + "me\x00x",
		request4Bytes + strings.Repeat("u", 513), "\x04\x02", "\x04", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, size, err := parseSocks4(b)
		if errors.Is(err, errShort) {
			if len(b) >= most4 {
				t.Errorf("needs more than %d bytes", len(b))
			}
			return
		}
		if err != nil {
			return
		}
		if size > min(len(b), most4) || len(r.user) > userMax4 || len(r.name) > hostname.Max {
			t.Fatalf("request %+v consumed %d bytes of %d", r, size, len(b))
		}
		if _, _, err := parseSocks4(b[:size-1]); !errors.Is(err, errShort) {
			t.Errorf("with one byte less: %v, want %v", err, errShort)
		}
		wire := append(bytes.Clone(b[:head4]), r.user+"\x00"...)
		if r.named {
			wire = append(wire, r.name+"\x00"...)
		}
		if !bytes.Equal(wire, b[:size]) {
			t.Errorf("%q was parsed as %+v", b[:size], r)
		}
	})
}
