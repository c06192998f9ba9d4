package eagersocks

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/net/proxy"

	"tunnels/internal/code"
)

func TestPasswordAtTheDoor(t *testing.T) {
	const (
		offer  = "\x05\x01\x02"
		asked  = "\x05\x02"
		right  = asked + "\x01\x00"
		wrong  = asked + "\x01\x01"
		secret = "hush hush"
	)
	login := func(name, password string) string {
		return "\x01" + string([]byte{byte(len(name))}) + name + string([]byte{byte(len(password))}) + password
	}
	long := strings.Repeat("p", 255)
	for _, tt := range []struct {
		name, wire, said string
		user             knownUser
		ok               bool
	}{
		{"right", offer + login("alice", secret) + aRequest, right, knownUser{"alice", secret}, true},
		{"longest", offer + login(long, long) + aRequest, right, knownUser{long, long}, true},
		{"both methods", "\x05\x02\x00\x02" + login("alice", secret) + aRequest, right, knownUser{"alice", secret}, true},
		{"wrong password", offer + login("alice", "x") + aRequest, wrong, knownUser{"alice", secret}, false},
		{"wrong name", offer + login("bob", secret) + aRequest, wrong, knownUser{"alice", secret}, false},
		{"empty", offer + "\x01\x00\x00" + aRequest, wrong, knownUser{"alice", secret}, false},
		{"no authentication", greetingBytes + aRequest, "\x05\xff", knownUser{"alice", secret}, false},
		{"no method", "\x05\x00", "\x05\xff", knownUser{"alice", secret}, false},
		{"GSSAPI", "\x05\x01\x01", "\x05\xff", knownUser{"alice", secret}, false},
		{"version 5", offer + "\x05" + login("alice", secret)[1:] + aRequest, wrong, knownUser{"alice", secret}, false},
		{"cut", offer + login("alice", secret)[:10], asked, knownUser{"alice", secret}, false},
		{"bind", offer + login("alice", secret) + "\x05\x02" + aRequest[2:], right + string(AppendReply(nil, code.CommandUnsupported)), knownUser{"alice", secret}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.wire), iotest.OneByteReader(strings.NewReader(tt.wire))} {
				c := newScripted(r)
				_, req, err := newDoor(&Config{Users: tt.user}).read(c)
				if got := c.said.String(); got != tt.said || (err == nil) != tt.ok {
					t.Errorf("application received %q, %v; want %q", got, err, tt.said)
				}
				if err == nil && req.Target.String() != "example.com:443" {
					t.Errorf("target = %v, want example.com:443", req.Target)
				}
				if err != nil && strings.Contains(err.Error(), "hush") {
					t.Errorf("error %q contains a password", err)
				}
				if c, _ := code.Of(err); strings.HasPrefix(tt.name, "wrong") && c != code.NotAuthorised {
					t.Errorf("error %v has code %v, want %v", err, c, code.NotAuthorised)
				}
			}
		})
	}
}

// TestProxyClient checks that the golang.org/x/net client can connect with a password.
func TestProxyClient(t *testing.T) {
	ln := mustListen(t, (&Config{Users: knownUser{"alice", "secret"}}).listenSocks)
	addr := ln.(interface{ Addr() net.Addr }).Addr().String()
	served := make(chan error, 1)
	go func() {
		c, req, err := ln.Accept()
		if err == nil {
			err = req.Reply()
		}
		if err == nil {
			_, err = io.WriteString(c, "hello from "+req.Target.String())
			c.Close()
		}
		served <- err
	}()
	for _, password := range []string{"wrong", "secret"} {
		d, err := proxy.SOCKS5("tcp", addr, &proxy.Auth{User: "alice", Password: password}, proxy.Direct)
		if err != nil {
			t.Fatal(err)
		}
		c, err := d.Dial("tcp", "example.com:443")
		if password == "wrong" {
			if err == nil || !strings.Contains(err.Error(), "username/password") {
				t.Errorf("Dial with the wrong password = %v, want the login refused", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); string(got) != "hello from example.com:443" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		c.Close()
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// failingWriter is an application that has disconnected.
type failingWriter struct{ *scripted }

var errGone = errors.New("gone")

func (failingWriter) Write([]byte) (int, error) { return 0, errGone }

func TestPasswordOfGoneApplication(t *testing.T) {
	for _, wire := range []string{"\x05\x01\x02\x01\x01a\x01b" + aRequest, request4Bytes + "a:x\x00"} {
		_, _, err := newDoor(&Config{Users: knownUser{"a", "b"}}).read(failingWriter{newScripted(strings.NewReader(wire))})
		if err == nil {
			t.Errorf("read(%q) = nil, want an error", wire)
		}
	}
}
