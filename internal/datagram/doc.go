// Package datagram carries datagrams over a session, which is a byte stream:
// each as a record, its length in two bytes and then what SOCKS5 puts into a UDP
// datagram (RFC 1928 section 7). docs/PROTOCOL.md has the details.
//
// An Association is the client's end. It takes datagrams from one application:
//
//	a, err := datagram.Listen(control.LocalAddr(), control.RemoteAddr(), hint)
//	err = request.ReplyBound(a.Addr())
//	err = a.Run(ctx, session) // until the control connection ends ctx
//
// A Relay is the exit's end. It sends them to their targets, under a policy, and
// takes the answers:
//
//	err := datagram.NewRelay(exit).Run(session)
//
// Datagrams may be lost, and are dropped rather than queued for long: what cannot be
// forwarded is dropped, the oldest first, and counted. Datagrams for one target, and
// answers, keep their order.
//
// # Cost
//
// An idle association has no buffer, except on Windows, where each socket holds one. A
// busy one has a few of 64 KiB, and at each end up to 512 KiB of datagrams waiting for
// the session; at the exit another 256 KiB may wait for names to be resolved.
package datagram
