// Package remux carries many sessions over few connections.
//
// A conn is one lower connection (TLS, TCP, a UNIX socket, a pipe) with frames on it; a
// session is one bidirectional, ordered, flow-controlled byte stream on a conn, a
// [net.Conn] with half-close. A [Pool] keeps the conns to one server and decides which of
// them a new session goes to; a [SessionListener] accepts the sessions on all incoming
// conns. Both are built on [Conn], on which either end may open sessions.
//
//	pool, err := remux.NewDialer("tcp", "127.0.0.1:7000")
//	conn, err := pool.Dial()
//
//	ln, err := remux.Listen("tcp", "127.0.0.1:7000")
//	conn, err := ln.Accept()
//
// Over TLS, the Dial and Listen functions supply the certificates:
//
//	pool, err := remux.NewDialer("tls", "vps.example:443", remux.Config{Dial: client.Dial})
//	ln, err := remux.Listen("tls", ":443", remux.Config{Listen: server.Listen})
//
// docs/PROTOCOL.md specifies the wire format, completely enough for an independent
// implementation.
//
// # Rules
//
// The reader of a conn never waits for an application or for the conn's writer: the peer
// sends only what it was granted, so there is always room. No mutex is held during I/O.
// Closing or resetting a session never blocks, and opening one costs no round trip.
//
// # Limits
//
// Each end of a conn has 32768 session numbers and uses each only once; when they run
// out, the conn takes no more sessions from that end. A frame carries at most 65535
// bytes.
package remux
