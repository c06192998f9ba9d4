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
// Datagrams may be lost, and here they are rather than that they wait: what
// cannot go on is dropped, the oldest first, and counted. Datagrams for one
// target, and answers, keep their order.
//
// # Cost
//
// An association that is silent has no buffer, but on Windows: there each
// socket holds one. One that is busy has a few of 64 KiB, and 512 KiB at most
// of what waits for the session at each end; at the exit another 256 KiB of what
// waits for names to be resolved.
package datagram
