// Package httpdoor is the front door for applications that speak HTTP/1.1. It is a
// proxy for http:// requests and CONNECT, and serves the port's own pages, including
// the PAC file.
//
// An application may send requests for many targets, one after another, on one
// connection. Unless the first is a CONNECT, the door hands over the connection as a
// *Conn, to be served as a whole:
//
//	stream, req, err := listener.Accept()
//	if web, ok := stream.(*httpdoor.Conn); ok {
//		err = web.Serve(ctx, dial) // dial opens a session to one target
//	}
//
// The head of a request is limited to 64 KiB.
package httpdoor
