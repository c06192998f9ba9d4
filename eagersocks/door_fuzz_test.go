package eagersocks

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// FuzzDoor lets an application say anything: the door does not panic, ends when
// the application does, decides the same however the bytes are cut, passes on
// only what can be written as a request, and loses nothing of what follows.
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
		c1, r1, err1 := newDoor(&Config{}).read(whole)
		c2, r2, err2 := newDoor(&Config{}).read(cut)
		if (err1 == nil) != (err2 == nil) || !bytes.Equal(whole.said.Bytes(), cut.said.Bytes()) {
			t.Fatalf("%q: at once %v and answer %q, byte by byte %v and answer %q",
				said, err1, whole.said.Bytes(), err2, cut.said.Bytes())
		}
		if err1 != nil {
			return
		}
		if r1.Command == Web { // FuzzHTTPFront goes on from here
			return
		}
		if r1.Target != r2.Target {
			t.Errorf("%q: target at once %v, byte by byte %v", said, r1.Target, r2.Target)
		}
		wire, err := r1.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%q: AppendBinary(%+v) = %v", said, r1, err)
		}
		if again, err := ReadRequest(bytes.NewReader(wire)); err != nil || again.Target != r1.Target {
			t.Errorf("%q: the exit reads %+v, %v; want %v", said, again, err, r1.Target)
		}
		early := r1.Early()
		rest1, _ := io.ReadAll(c1)
		rest2, _ := io.ReadAll(c2)
		if got := append(early, rest1...); !bytes.Equal(got, rest2) || !bytes.HasSuffix(said, got) {
			t.Errorf("%q: payload at once %q, byte by byte %q", said, got, rest2)
		}
	})
}
