//go:build unix

package tls

import (
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cpu returns the CPU time used by this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBulk sends in chunks of 64 KiB, as remux does, and reports the total CPU
// time of both ends.
func BenchmarkBulk(b *testing.B) {
	serverM, clientM, err := Throwaway()
	if err != nil {
		b.Fatal(err)
	}
	s, err := NewServer(Config{Material: serverM})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ln := s.Listener(inner)
	defer ln.Close()
	c, err := NewClient(Config{Material: clientM})
	if err != nil {
		b.Fatal(err)
	}
	near, err := c.Dial(b.Context(), "tcp", inner.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer far.Close()
	const piece, round = 64 << 10, 16 << 20
	b.SetBytes(round)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, piece)
		for {
			if _, err := far.Read(buf); err != nil {
				return
			}
		}
	})
	start := cpu(b)
	n := 0
	buf := make([]byte, piece)
	for b.Loop() {
		for range round / piece {
			if _, err := near.Write(buf); err != nil {
				b.Fatal(err)
			}
		}
		n++
	}
	b.ReportMetric((cpu(b)-start).Seconds()/(float64(n)*round/(1<<30)), "cpu-s/GiB")
	near.Close()
	wg.Wait()
}
