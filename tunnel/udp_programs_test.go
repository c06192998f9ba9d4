package tunnel

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/dns/dnsmessage"

	ours "tunnels/tls"
)

// TestDNSOverUDP resolves a name through an association, using package net's resolver.
func TestDNSOverUDP(t *testing.T) {
	server := dnsStub(t, "host.test.", netip.MustParseAddr("192.0.2.7"))
	r := start(t, "remux", "tls", "tcp", nil)
	resolver := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
		if network != "udp" {
			return nil, net.UnknownNetworkError(network)
		}
		return associate(r.client.Addr().String(), server)
	}}
	ips, err := resolver.LookupNetIP(t.Context(), "ip4", "host.test.")
	if err != nil || len(ips) != 1 || ips[0].Unmap() != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("host.test. is %v, %v, want 192.0.2.7", ips, err)
	}
}

// dnsStub starts a DNS server that knows the IPv4 address of name, and returns the
// server's address.
func dnsStub(t *testing.T, name string, ip netip.Addr) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(b[:n]); err != nil || len(m.Questions) != 1 {
				t.Errorf("question of %d bytes: %v", n, err)
				continue
			}
			q := m.Questions[0]
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
			if q.Type == dnsmessage.TypeA && q.Name.String() == name {
				answer.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60},
					Body:   &dnsmessage.AResource{A: ip.As4()},
				}}
			}
			packed, err := answer.Pack()
			if err != nil {
				t.Errorf("packing an answer: %v", err)
				continue
			}
			_, _ = c.WriteToUDPAddrPort(packed, from)
		}
	})
	t.Cleanup(func() { c.Close(); serving.Wait() })
	return c.LocalAddr().String()
}

// TestQUICOverUDP performs a QUIC handshake and sends 10 MiB each way.
func TestQUICOverUDP(t *testing.T) {
	target := quicEcho(t)
	r := start(t, "remux", "tls", "tcp", nil)
	s := r.associate(t)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	way := &quic.Transport{Conn: s}
	defer way.Close()
	conn, err := way.Dial(ctx, target, &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{"echo"}, // only the transport is tested
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sent := make([]byte, 10<<20)
	rand.Read(sent)
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := stream.Write(sent); err != nil {
			t.Errorf("sending: %v", err)
		}
		stream.Close()
	})
	_ = stream.SetReadDeadline(time.Now().Add(60 * time.Second))
	got, err := io.ReadAll(stream)
	sending.Wait()
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("received %d bytes, %v, want the %d sent", len(got), err, len(sent))
	}
}

// quicEcho starts a server that accepts one QUIC connection and echoes its first stream.
func quicEcho(t *testing.T) net.Addr {
	t.Helper()
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	material, _, err := ours.Throwaway("quic.test")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(material.Cert, material.Key)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	way := &quic.Transport{Conn: socket}
	ln, err := way.Listen(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"echo"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := ln.Accept(context.Background())
		if err != nil {
			return
		}
		stream, err := conn.AcceptStream(context.Background())
		if err != nil {
			t.Errorf("no stream: %v", err)
			return
		}
		if _, err := io.Copy(stream, stream); err != nil && !os.IsTimeout(err) {
			t.Errorf("echo: %v", err)
		}
		stream.Close()
		<-conn.Context().Done()
	})
	t.Cleanup(func() {
		ln.Close()
		way.Close()
		serving.Wait()
		socket.Close()
	})
	return socket.LocalAddr()
}
