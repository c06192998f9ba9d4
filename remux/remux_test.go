package remux_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"tunnels/remux"
	"tunnels/tls"
)

// TestNetworks checks that package net's stream networks are supported, and others, such
// as TLS, with a Config that supports them.
func TestNetworks(t *testing.T) {
	_, err := remux.NewDialer("tls", "127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "Config.Dial") {
		t.Errorf("NewDialer on an unknown network = %v, want it to name the field to set", err)
	}
	if _, err = remux.Listen("tls", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "Config.Listen") {
		t.Errorf("Listen on an unknown network = %v, want it to name the field to set", err)
	}
	mine, yours, err := tls.Throwaway("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server, err := tls.NewServer(tls.Config{Material: mine})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := tls.NewClient(tls.Config{Material: yours})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]remux.Config{
		"tcp": {},
		"tls": {Dial: client.Dial, Listen: server.Listen},
		"mine": {
			Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", address)
			},
			Listen: func(ctx context.Context, _, address string) (net.Listener, error) {
				return new(net.ListenConfig).Listen(ctx, "tcp", address)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := remux.Listen(name, "127.0.0.1:0", c)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					_, _ = io.Copy(c, c)
					_ = c.Close()
				}
			}()
			pool, err := remux.NewDialer(name, ln.(*remux.SessionListener).Addr().String(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.(*remux.Pool).Close()
			s, err := pool.Dial()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			b := []byte("echo")
			if _, err := s.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(s, b); err != nil || string(b) != "echo" {
				t.Errorf("read %q, %v", b, err)
			}
		})
	}
}
