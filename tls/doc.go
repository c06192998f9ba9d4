// Package tls is the trust between the two ends: mutually authenticated TLS 1.3
// conns, the files they are made from, and the small CA that writes those files.
//
//	server, err := tls.NewServer(tls.Config{Cert: "server.pem", Key: "server.key", CA: "ca.pem"})
//	listener := server.Listener(inner)  // Accept returns handshaken conns only
//	conn, err := listener.Accept()      // conn.(*tls.Conn).PeerName() == "laptop"
//
//	client, err := tls.NewClient(tls.Config{Cert: "laptop.pem", Key: "laptop.pem", CA: "laptop.pem"})
//	conn, err := client.Dial(ctx, "tcp", "vps.example.com:443")
//
// # Who is let in
//
// Both ends show a certificate and both verify the other's: its chain up to one
// of the CAs configured, its dates, its purpose (a server's certificate does not
// make a client), its name (a client expects the host it dials) and that it is
// not revoked. Revocation is checked for resumed sessions as well. A server that
// has no CA for its clients is not made at all: it would be an open proxy.
//
// In TLS 1.3 a client has finished its handshake before the server has judged
// the client's certificate. So Dial may succeed for a client that is refused; it
// learns of it at its first Read, as a *CertificateError.
//
// # Files
//
// Files are PEM. One file may hold key, certificate and CA together; each field
// takes from it what it needs. Files are looked at every two seconds and read
// again when they change; what cannot be used leaves the last good content in
// force and is reported for as long as it lasts. Beside a CA file NAME.pem lies
// its revocation list NAME.crl (or ca.crl, in the same folder); an open conn of
// the server whose peer is revoked ends at once, and its Read and Write return
// why (ErrDismissed). A certificate that expires does not end a conn: Conn.Barred
// says that its peer is to begin nothing new. Files that keep every conn from
// working are an error of NewServer and NewClient.
//
// # Limits
//
// crypto/tls never renews the keys of a conn by itself: AES-GCM is good for
// about 2^24.5 records (RFC 8446 section 5.5). Who uses these conns ends them in
// time. A Write that ran into its deadline leaves a conn that cannot be used.
package tls
