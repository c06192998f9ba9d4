package eagersocks

import (
	"io"
	"net/netip"
	"strings"
	"testing"
)

// TestAssociateAtTheDoor checks that any source address an application sends results in
// a request that can be forwarded.
func TestAssociateAtTheDoor(t *testing.T) {
	const head = greetingBytes + "\x05\x03\x00"
	for wire, want := range map[string]Address{
		head + "\x01\x00\x00\x00\x00\x00\x00":                                           {Host: "0.0.0.0", Port: 0},
		head + "\x01\x7f\x00\x00\x01\x14\xe9":                                           {Host: "127.0.0.1", Port: 5353},
		head + "\x04" + strings.Repeat("\x00", 18):                                      {Host: "::", Port: 0},
		head + "\x04" + strings.Repeat("\x00", 10) + "\xff\xff\x7f\x00\x00\x01\x14\xe9": {Host: "127.0.0.1", Port: 5353},
		head + "\x03\x010\x00\x00":                                                      {Host: "0", Port: 0},
		head + "\x03\x00\x14\xe9":                                                       {Host: "0.0.0.0", Port: 5353},
		head + "\x03\x03a\nb\x00\x00":                                                   {Host: "0.0.0.0", Port: 0},
		head + "\x03\x09127.0.0.1\x14\xe9":                                              {Host: "127.0.0.1", Port: 5353},
	} {
		_, req, err := newDoor(&Config{}).read(newScripted(strings.NewReader(wire)))
		if err != nil || req.Command != UDP || req.Target != want {
			t.Errorf("read(%q) = %+v, %v; want UDP and %v", wire, req, err, want)
			continue
		}
		if _, err := req.AppendBinary(nil); err != nil {
			t.Errorf("%v cannot be forwarded: %v", want, err)
		}
	}
}

func TestAssociateReply(t *testing.T) {
	ln := mustListen(t, ListenSocks)
	for bound, want := range map[string]string{
		"127.0.0.1:5353": "\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x14\xe9",
		"[::1]:5353":     "\x05\x00\x05\x00\x00\x04" + strings.Repeat("\x00", 15) + "\x01\x14\xe9",
	} {
		app := dialTo(t, ln)
		io.WriteString(app, greetingBytes+"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00")
		_, req := mustAccept(t, ln)
		if err := req.ReplyBound(netip.MustParseAddrPort(bound)); err != nil {
			t.Errorf("ReplyBound(%s) = %v", bound, err)
		}
		wantRead(t, app, want)
	}
}
