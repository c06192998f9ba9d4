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

// TestNetworks: package net's stream networks are known, others with an option that
// knows them: TLS is one.
func TestNetworks(t *testing.T) {
	_, err := remux.NewDialer("tls", "127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "WithDial") {
		t.Errorf("NewDialer on a network nobody knows = %v, want it to say who would", err)
	}
	if _, err = remux.Listen("tls", "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "WithListen") {
		t.Errorf("Listen on a network nobody knows = %v, want it to say who would", err)
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
	for name, options := range map[string][2]remux.Option{
		"tcp": {},
		"tls": {remux.WithDial(client.Dial), remux.WithListen(server.Listen)},
		"mine": {remux.WithConfig(remux.Config{Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}}), remux.WithListen(func(ctx context.Context, _, address string) (net.Listener, error) {
			return new(net.ListenConfig).Listen(ctx, "tcp", address)
		})},
	} {
		t.Run(name, func(t *testing.T) {
			none := func(*remux.Config) {}
			for i, o := range options {
				if o == nil {
					options[i] = none
				}
			}
			ln, err := remux.Listen(name, "127.0.0.1:0", options[1])
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
			pool, err := remux.NewDialer(name, ln.(*remux.SessionListener).Addr().String(), options[0])
			if err != nil {
				t.Fatal(err)
			}
			defer pool.(*remux.Pool).Close()
			c, err := pool.Dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			b := []byte("echo")
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, b); err != nil || string(b) != "echo" {
				t.Errorf("read %q, %v", b, err)
			}
		})
	}
}
