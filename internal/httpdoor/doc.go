// Package httpdoor is the front door for applications that speak HTTP/1.1: a proxy for
// http:// requests and CONNECT, and the pages of the port itself, of which one is the
// PAC file.
//
// An application makes requests to many targets, one after the other, on one
// connection. Unless it begins with CONNECT, the door hands over such a connection as
// a *Conn, to be served as a whole:
//
//	stream, req, err := listener.Accept()
//	if web, ok := stream.(*httpdoor.Conn); ok {
//		err = web.Serve(ctx, dial) // dial opens a session to one target
//	}
//
// The head of a request takes 64 KiB at most.
package httpdoor
