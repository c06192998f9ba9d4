// Package eagersocks implements the requests that begin sessions: their encoding, the
// SOCKS doors that read them from applications, and the answers to them.
//
// A request is the SOCKS5 request (RFC 1928 section 4) with the reserved byte used for
// flags, sent ahead of the application's first bytes:
//
//	0x05 | CMD | FLAGS | ATYP | ADDR | PORT [ | options ]
//
// The client does not wait for an answer unless the flag "reply wanted" is set. A
// request needs only an ordered stream, so the same bytes are used over remux, TLS, TCP
// and UNIX sockets.
//
// # At the client
//
// A front door accepts applications and hands over each connection together with its
// request:
//
//	ln, err := eagersocks.ListenSocks("tcp", "127.0.0.1:1080")
//	conn, req, err := ln.Accept()
//	if req.ReplyWanted = !eagerness.Eager(req); !req.ReplyWanted {
//		err = req.Reply() // the application continues immediately
//	}
//	b, err := req.AppendBinary(nil)
//	_, err = session.Write(append(b, req.Early()...))
//
// # At the exit
//
// The listener hands over a session once its request is complete:
//
//	ln := new(eagersocks.Config).NewListener(sessions)
//	session, req, err := ln.Accept()
//	target, err := dial(req.Target)
//	if err != nil {
//		return req.Refuse(code.Refused, err.Error())
//	}
//	err = req.Reply() // does nothing if no reply is wanted
//
// # Limits
//
// A connection that does not complete its greeting or request in time is closed, as is
// the oldest one when there are too many (see Config). Options are limited to 1 KiB,
// names to 255 bytes. BIND is refused at the front door. UDP ASSOCIATE is handed over
// like any other request, and answered with Request.ReplyBound. Its target is the
// address that the application says it will send datagrams from, or 0.0.0.0:0 if
// unspecified.
package eagersocks
