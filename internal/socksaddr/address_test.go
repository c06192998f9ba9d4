package socksaddr

import (
	"bytes"
	"testing"

	"tunnels/internal/code"
)

func TestNew(t *testing.T) {
	for in, want := range map[string]string{
		"example.com":      "example.com:7",
		"Example.com.":     "Example.com.:7",
		"192.0.2.1":        "192.0.2.1:7",
		"2001:DB8:0::0001": "[2001:db8::1]:7",
		"[2001:db8::1]":    "[2001:db8::1]:7",
		"[192.0.2.1]":      "192.0.2.1:7",
		"::ffff:192.0.2.1": "[::ffff:192.0.2.1]:7",
		"bücher.example":   "bücher.example:7",
	} {
		if got, err := New(in, 7); err != nil || got.String() != want {
			t.Errorf("New(%q, 7) = %v, %v; want %v", in, got, err, want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, in := range []string{"example.com:443", "192.0.2.1:1", "[2001:db8::1]:65535"} {
		if got, err := Parse(in); err != nil || got.String() != in {
			t.Errorf("Parse(%q) = %v, %v; want the same", in, got, err)
		}
	}
	for _, in := range []string{"", "a", "a:", ":1", "a:0", "a:65536", "a:-1", "a:http", "2001:db8::1:80", "a b:1"} {
		_, err := Parse(in)
		if c, ok := code.Of(err); !ok || c != code.AddressUnsupported {
			t.Errorf("Parse(%q) = %v, want code %v", in, err, code.AddressUnsupported)
		}
	}
}

// FuzzDecode checks that an address accepted by Decode is encoded as the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x01\xc0\x00\x02\x01\x00\x50"))
	f.Add([]byte("\x03\x0bexample.com\x01\xbb"))
	f.Add([]byte("\x03\x03::1\x00\x50"))
	f.Add([]byte("\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x16"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		if len(wire) < 2 {
			return
		}
		size, ok := Size(wire[0], wire[1])
		if !ok || len(wire) != 1+size+2 {
			return
		}
		a, err := Decode(wire[0], wire[1:])
		if err != nil {
			return
		}
		if got := a.AppendTo(nil); !bytes.Equal(got, wire) {
			t.Errorf("%q is decoded as %v and written as %q", wire, a, got)
		}
		name, ip, _ := Split(wire[0], wire[1:])
		if n := EncodedSize(name, ip); n != len(wire) {
			t.Errorf("EncodedSize of %v = %d, want %d", a, n, len(wire))
		}
	})
}
