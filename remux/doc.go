// Package remux carries many sessions over few connections.
//
// A conn is one lower connection (TLS, TCP, a UNIX socket, a pipe) with frames on it; a
// session is one bidirectional, ordered, flow-controlled byte stream on a conn, a
// [net.Conn] with half-close. A [Pool] maintains the conns to one server and chooses one
// for each new session; a [SessionListener] accepts the sessions on all incoming conns.
// Both are built on [Conn], on which either end may open sessions.
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
// docs/PROTOCOL.md specifies the wire format in enough detail for an independent
// implementation.
//
// # Rules
//
// The reader of a conn never waits for an application or for the conn's writer: the peer
// may send only as many bytes as it has been granted, so there is always room for them.
// No mutex is held during I/O. Closing or resetting a session never blocks, and opening
// one costs no round trip.
//
// # Limits
//
// Each end of a conn has 32768 session numbers and uses each only once. When they run
// out, that end can open no more sessions on the conn. A frame carries at most 65535
// bytes.
package remux
