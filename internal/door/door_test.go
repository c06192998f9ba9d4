package door_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"tunnels/eagersocks"
	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/door"
	"tunnels/internal/httpdoor"
)

const (
	greetingBytes = "\x05\x01\x00" // SOCKS5, one method: no authentication
	aRequest      = "\x05\x01\x00\x03\x0bexample.com\x01\xbb"
)

// allDoors returns a Reader with all doors for applications. users may be nil.
func allDoors(users appconn.Authenticator) door.Reader[*eagersocks.Request] {
	socks := &eagersocks.Config{Users: users}
	return door.FirstByte[*eagersocks.Request](socks.NewSocksDoor(), httpdoor.New(httpdoor.Config{Users: users}))
}

// knownUser is an Authenticator that accepts one name and password.
type knownUser struct{ name, password string }

func (u knownUser) Check(_ net.Addr, name, password string) error {
	if name == u.name && password == u.password {
		return nil
	}
	return &code.Error{Code: code.NotAuthorised, Text: "user or password is wrong"}
}

// scripted is a connection that reads from r and records what is written.
type scripted struct {
	net.Conn // nil, because other methods are not used
	r        io.Reader
	said     bytes.Buffer
}

func newScripted(r io.Reader) *scripted { return &scripted{r: r} }

func (s *scripted) Read(p []byte) (int, error)  { return s.r.Read(p) }
func (s *scripted) Write(p []byte) (int, error) { return s.said.Write(p) }
func (s *scripted) Close() error                { return nil }
func (s *scripted) LocalAddr() net.Addr         { return nil }
func (s *scripted) RemoteAddr() net.Addr        { return nil }

// FuzzDoor checks that, whatever bytes arrive, the door does not panic, returns once the
// application has closed, gives the same result however the bytes are split, returns
// only requests that can be encoded, and loses no bytes after them.
func FuzzDoor(f *testing.F) {
	for _, s := range []string{
		greetingBytes + aRequest + "payload",
		"\x05\x02\x00\x02" + aRequest,
		greetingBytes + "\x05\x01\x00\x03\x09192.0.2.1\x00\x50",
		greetingBytes + "\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01\x00\x50",
		greetingBytes + "\x05\x02" + aRequest[2:],
		greetingBytes + "\x05\x01\x00\x07",
		"\x04\x01\x00\x50\x00\x00\x00\x01user\x00example.com\x00",
		"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
		"CONNECT example.com:443 HTTP/1.1\r\n\r\npayload",
		"\x16\x03\x01",
		"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		whole := newScripted(bytes.NewReader(said))
		cut := newScripted(iotest.OneByteReader(bytes.NewReader(said)))
		c1, r1, err1 := allDoors(nil)(whole)
		c2, r2, err2 := allDoors(nil)(cut)
		if (err1 == nil) != (err2 == nil) || !bytes.Equal(whole.said.Bytes(), cut.said.Bytes()) {
			t.Fatalf("%q: all at once: %v, answer %q; byte by byte: %v, answer %q",
				said, err1, whole.said.Bytes(), err2, cut.said.Bytes())
		}
		if err1 != nil {
			return
		}
		if _, ok := c1.(*httpdoor.Conn); ok { // covered by FuzzHTTPFront
			return
		}
		if r1.Target != r2.Target {
			t.Errorf("%q: target all at once %v, byte by byte %v", said, r1.Target, r2.Target)
		}
		wire, err := r1.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%q: AppendBinary(%+v) = %v", said, r1, err)
		}
		if again, err := eagersocks.ReadRequest(bytes.NewReader(wire)); err != nil || again.Target != r1.Target {
			t.Errorf("%q: the exit reads %+v, %v; want %v", said, again, err, r1.Target)
		}
		early := r1.Early()
		rest1, _ := io.ReadAll(c1)
		rest2, _ := io.ReadAll(c2)
		if got := append(early, rest1...); !bytes.Equal(got, rest2) || !bytes.HasSuffix(said, got) {
			t.Errorf("%q: payload all at once %q, byte by byte %q", said, got, rest2)
		}
	})
}

// TestFirstByte checks that each connection is read by the door for its first byte.
func TestFirstByte(t *testing.T) {
	for said, want := range map[string]string{
		greetingBytes + aRequest:                         "connect example.com:443",
		"\x04\x01\x00\x50\xc0\x00\x02\x01\x00":           "connect 192.0.2.1:80",
		"CONNECT example.com:443 HTTP/1.1\r\n\r\n":       "connect example.com:443",
		"GET http://a.test/ HTTP/1.1\r\nHost: a\r\n\r\n": "web",
		"\x00": "refused",
		"":     "refused",
	} {
		got := "refused"
		stream, req, err := allDoors(nil)(newScripted(strings.NewReader(said)))
		if _, ok := stream.(*httpdoor.Conn); ok {
			got = "web"
		} else if err == nil {
			got = req.Command.String() + " " + req.Target.String()
		}
		if got != want {
			t.Errorf("%q is %s (%v), want %s", said, got, err, want)
		}
	}
}
