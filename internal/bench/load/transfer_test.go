package load

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestDownloadChecks: bytes corrupted by a proxy are detected.
func TestDownloadChecks(t *testing.T) {
	p := NewPool()
	good := append([]byte(nil), p[:1<<20]...)
	changed := append([]byte(nil), good...)
	changed[0] ^= 1
	tests := []struct {
		name string
		data []byte
		sent uint64
		want string // part of the error, or empty for none
	}{
		{"whole", good, 1 << 20, ""},
		{"nothing", nil, 0, ""},
		{"cut", good[:1000], 1 << 20, "then reported sending"},
		{"too much", good, 1000, "then reported sending"},
		{"changed", changed, 1 << 20, "differs from the one"},
		{"shifted", good[1:], 1<<20 - 1, "differs from the one"},
	}
	for _, tt := range tests {
		c, s := net.Pipe()
		go func() {
			s.Write(tt.data)
			s.Write(binary.BigEndian.AppendUint64(nil, tt.sent))
			s.Close()
		}()
		err := new(Downloads).take(c, p)
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: take = %v, want %q", tt.name, err, tt.want)
		}
		c.Close()
	}
}

// TestFetchChecks: objects that arrive cut or altered are detected.
func TestFetchChecks(t *testing.T) {
	p := NewPool()
	const n = 50_000
	object := func(data []byte, sent uint64) []byte {
		return binary.BigEndian.AppendUint64(append([]byte(nil), data...), sent)
	}
	changed := append([]byte(nil), p[:n]...)
	changed[n-1] ^= 1
	for want, answer := range map[string][]byte{
		"":                      object(p[:n], n),
		"after 49999 of":        p[:n-1],
		"then reported sending": object(p[:n], n-1),
		"differ from those":     object(changed, n),
	} {
		c, s := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			io.ReadFull(s, make([]byte, 8))
			s.Write(answer)
			s.Close()
		}()
		err := Fetch(c, p, n)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("Fetch = %v, want %q", err, want)
		}
		c.Close()
		<-ended
	}
}

// TestUploadChecks: corrupted uploads are detected.
func TestUploadChecks(t *testing.T) {
	p := NewPool()
	for want, answer := range map[string]func(uint64) uint64{
		"":                  func(n uint64) uint64 { return n },
		"received":          func(n uint64) uint64 { return n - 1 },
		"differ from those": func(uint64) uint64 { return BadContent },
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.DialTimeout("tcp", ln.Addr().String(), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(30 * time.Second))
		var wg sync.WaitGroup
		wg.Go(func() {
			c, err := ln.Accept()
			if err != nil {
				t.Errorf("accept: %v", err)
				return
			}
			defer c.Close()
			n, _ := io.Copy(io.Discard, c)
			c.Write(binary.BigEndian.AppendUint64(nil, answer(uint64(n))))
		})
		_, err = Pour(c.(*net.TCPConn), p, time.Now())
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("Pour = %v, want %q", err, want)
		}
		wg.Wait()
		ln.Close()
	}
}
