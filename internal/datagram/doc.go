// Package datagram carries datagrams over a session, which is a byte stream: each
// becomes a record, a two-byte length followed by what SOCKS5 puts in a UDP datagram
// (RFC 1928 section 7). See docs/PROTOCOL.md for details.
//
// An Association is the client's end. It accepts datagrams from one application:
//
//	a, err := datagram.Listen(control.LocalAddr(), control.RemoteAddr(), hint)
//	err = request.ReplyBound(a.Addr())
//	err = a.Run(ctx, session) // until the control connection ends ctx
//
// A Relay is the exit's end. It sends them to their targets, subject to a policy, and
// returns the answers:
//
//	err := datagram.NewRelay(exit).Run(session)
//
// Datagrams may be lost, and are dropped rather than queued for long: those that cannot
// be forwarded are dropped, oldest first, and counted. Datagrams for one target stay in
// order, and so do answers.
//
// # Cost
//
// An idle association holds no buffer, except on Windows, where each socket holds one.
// A busy one holds a few 64 KiB buffers, and up to 512 KiB of datagrams queued for the
// session at each end; at the exit another 256 KiB may be waiting for name lookups.
package datagram
