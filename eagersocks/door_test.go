package eagersocks

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/things-go/go-socks5"
	"github.com/things-go/go-socks5/statute"

	"tunnels/internal/code"
	"tunnels/internal/splice"
)

const greetingBytes = "\x05\x01\x00" // SOCKS5, one method: no authentication

func TestPipelinedBytesStayIntact(t *testing.T) {
	for _, size := range []int{0, 10, 3 << 10, 5 << 10, 300 << 10} {
		for _, taken := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d taken=%v", size, taken), func(t *testing.T) {
				payload := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
				ln := mustListen(t, ListenSocks)
				app := dialTo(t, ln).(*net.TCPConn)
				go func() {
					app.Write(append([]byte(greetingBytes+aRequest), payload...))
					app.CloseWrite()
				}()
				conn, req := mustAccept(t, ln)
				if err := req.Reply(); err != nil {
					t.Fatal(err)
				}
				wantRead(t, app, "\x05\x00"+"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
				var early []byte
				if taken {
					early = req.Early()
				}
				rest, err := io.ReadAll(conn)
				if got := append(early, rest...); err != nil || !bytes.Equal(got, payload) {
					t.Errorf("got %d early and %d later bytes, %v; want the %d sent", len(early), len(rest), err, size)
				}
				if again := req.Early(); len(again) != 0 {
					t.Errorf("second Early = %d bytes, want none", len(again))
				}
			})
		}
	}
}

// TestEarlyBytesThroughSplice checks that splicing from the socket does not lose the
// early bytes if Early is not called.
func TestEarlyBytesThroughSplice(t *testing.T) {
	payload := bytes.Repeat([]byte("early and late "), 20<<10)
	ln := mustListen(t, ListenSocks)
	app := dialTo(t, ln).(*net.TCPConn)
	go func() {
		app.Write(append([]byte(greetingBytes+aRequest), payload...))
		app.CloseWrite()
	}()
	conn, req := mustAccept(t, ln)
	req.Reply()
	far, near := tcpPair(t)
	result := make(chan splice.Result, 1)
	go func() { result <- splice.Both(conn.(splice.Stream), near, code.Cancelled, code.General) }()
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("far end read %d bytes, %v; want %d", len(got), err, len(payload))
	}
	// The connection is half-closed, but the answer must still arrive.
	io.WriteString(far, "answer")
	far.CloseWrite()
	answer, err := io.ReadAll(app)
	if want := "\x05\x00" + string(AppendReply(nil, code.OK)) + "answer"; err != nil || string(answer) != want {
		t.Errorf("application read %q, %v; want %q", answer, err, want)
	}
	if r := <-result; r.Err != nil || r.FromA != int64(len(payload)) || r.FromB != 6 {
		t.Errorf("Both = %+v, want a clean close", r)
	}
}

func tcpPair(t *testing.T) (*net.TCPConn, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); d.Close() })
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

func TestGreetingByteByByte(t *testing.T) {
	ln := mustListen(t, ListenSocks)
	app := dialTo(t, ln)
	go func() {
		for _, b := range []byte(greetingBytes + aRequest + "payload") {
			app.Write([]byte{b})
		}
	}()
	conn, req := mustAccept(t, ln)
	if req.Target.String() != "example.com:443" {
		t.Errorf("target = %v, want example.com:443", req.Target)
	}
	wantRead(t, conn, "payload")
}

func TestAbortReachesApplication(t *testing.T) {
	ln := mustListen(t, ListenSocks)
	app := dialTo(t, ln)
	io.WriteString(app, greetingBytes+aRequest)
	conn, req := mustAccept(t, ln)
	req.Reply()
	wantRead(t, app, "\x05\x00"+string(AppendReply(nil, code.OK)))
	splice.Abort(conn, code.Refused, "no listener")
	if _, err := app.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("application read %v, want ECONNRESET", err)
	}
}

func TestDoorRefuses(t *testing.T) {
	ln := mustListen(t, ListenSocks)
	app := dialTo(t, ln)
	io.WriteString(app, greetingBytes+aRequest+"unread")
	_, req := mustAccept(t, ln)
	done := make(chan error, 1)
	go func() { done <- req.Refuse(code.Refused, "no listener") }()
	got, err := io.ReadAll(app)
	if want := "\x05\x00" + string(AppendReply(nil, code.Refused)); string(got) != want || err != nil {
		t.Errorf("application read %q, %v; want %q", got, err, want)
	}
	app.Close()
	if err := <-done; err != nil {
		t.Errorf("Refuse = %v", err)
	}
}

func TestTargetsAtTheDoor(t *testing.T) {
	const head = greetingBytes + "\x05\x01\x00"
	for wire, want := range map[string]Address{
		head + "\x01\xc0\x00\x02\x01\x00\x50":                                           {Host: "192.0.2.1", Port: 80},
		head + "\x03\x09192.0.2.1\x00\x50":                                              {Host: "192.0.2.1", Port: 80},
		head + "\x03\x05[::1]\x00\x50":                                                  {Host: "::1", Port: 80},
		head + "\x03\x03::1\x00\x50":                                                    {Host: "::1", Port: 80},
		head + "\x04" + strings.Repeat("\x00", 15) + "\x01\x00\x50":                     {Host: "::1", Port: 80},
		head + "\x04" + strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x01\x00\x50": {Host: "::ffff:192.0.2.1", Port: 80},
		head + "\x03\x0fdoes.not.exist.\x01\xbb":                                        {Host: "does.not.exist.", Port: 443},
	} {
		c := newScripted(strings.NewReader(wire))
		_, req, err := newDoor(&Config{}).read(c)
		if err != nil || req.Target != want {
			t.Errorf("read(%q) = %v, %v; want %v", wire, req, err, want)
		}
	}
}

func TestHostileAtTheDoor(t *testing.T) {
	const method = "\x05\x00"
	reply := func(c code.Code) string { return method + string(AppendReply(nil, c)) }
	name := func(s string) string {
		return greetingBytes + "\x05\x01\x00\x03" + string(rune(len(s))) + s + "\x00\x50"
	}
	for _, tt := range []struct{ name, wire, want string }{
		{"nothing", "", ""},
		{"other byte", "\x16\x03\x01\x02\x00\x01", ""},
		{"NUL", "\x00\x00\x00\x00", ""},
		{"no methods", "\x05\x00", "\x05\xff"},
		{"password only", "\x05\x01\x02", "\x05\xff"},
		{"methods cut", "\x05\xff\x00", ""},
		{"greeting only", greetingBytes, method},
		{"version in request", greetingBytes + "\x04\x01\x00\x01\x01\x02\x03\x04\x00\x50", method},
		{"bind", greetingBytes + "\x05\x02" + aRequest[2:], reply(code.CommandUnsupported)},
		{"command 9", greetingBytes + "\x05\x09" + aRequest[2:], reply(code.CommandUnsupported)},
		{"address type", greetingBytes + "\x05\x01\x00\x07abc", reply(code.AddressUnsupported)},
		{"request cut", greetingBytes + aRequest[:9], method},
		{"empty name", name(""), reply(code.AddressUnsupported)},
		{"NUL in name", name("a\x00b"), reply(code.AddressUnsupported)},
		{"newline", name("a\r\nb"), reply(code.AddressUnsupported)},
		{"space", name("a b"), reply(code.AddressUnsupported)},
		{"port in name", name("a:1"), reply(code.AddressUnsupported)},
		{"zone", name("fe80::1%lo"), reply(code.AddressUnsupported)},
		{"port 0", greetingBytes + "\x05\x01\x00\x03\x01a\x00\x00", reply(code.AddressUnsupported)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newScripted(strings.NewReader(tt.wire))
			conn, req, err := newDoor(&Config{}).read(c)
			if err == nil || conn != nil || req != nil {
				t.Errorf("read = %v, %v, %v; want only an error", conn, req, err)
			}
			if got := c.said.String(); got != tt.want {
				t.Errorf("application received %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRefusalIsDelivered checks that further bytes from the application do not turn the
// refusal into a reset.
func TestRefusalIsDelivered(t *testing.T) {
	ln := mustListen(t, ListenSocks)
	app := dialTo(t, ln)
	io.WriteString(app, greetingBytes+"\x05\x02"+aRequest[2:]+strings.Repeat("x", 10_000))
	got, err := io.ReadAll(app)
	if want := "\x05\x00" + string(AppendReply(nil, code.CommandUnsupported)); string(got) != want || err != nil {
		t.Errorf("application read %q, %v; want %q", got, err, want)
	}
}

// TestEarlyBytesInTwoPlaces checks that Early returns all unparsed bytes, even if the
// parser's buffer holds only some of them.
func TestEarlyBytesInTwoPlaces(t *testing.T) {
	g := &greeting{Conn: newScripted(strings.NewReader("")), first: []byte("0123456789abcdefghij")}
	small := bufio.NewReaderSize(g, 16)
	small.Peek(1)
	small.Discard(10)
	err := handle(t.Context(), g, &socks5.Request{
		Request:     statute.Request{Command: statute.CommandConnect},
		RawDestAddr: &statute.AddrSpec{FQDN: "a", Port: 1, AddrType: statute.ATYPDomain},
		Reader:      small,
	})
	if got := string(g.req.Early()); got != "abcdefghij" || err != nil {
		t.Errorf("Early = %q, %v; want all unparsed bytes", got, err)
	}
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

// TestGreetingOfTLS checks that the error has a hint for users who entered https://
// instead of http://.
func TestGreetingOfTLS(t *testing.T) {
	app, near := tcpPair(t)
	if _, err := app.Write([]byte{0x16, 3, 1}); err != nil {
		t.Fatal(err)
	}
	_, _, err := newDoor(new(Config)).read(near)
	if err == nil || !strings.Contains(err.Error(), "looks like TLS") {
		t.Errorf("TLS greeting: %v, want a hint", err)
	}
}
