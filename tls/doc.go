// Package tls authenticates the two ends to each other: it provides mutually
// authenticated TLS 1.3 conns and reads the files they need, which package tls/ca can
// create.
//
//	server, err := tls.NewServer(tls.Config{Cert: "server.pem", Key: "server.key", CA: "ca.pem"})
//	listener := server.Listener(inner)  // Accept returns handshaken conns only
//	conn, err := listener.Accept()      // conn.(*tls.Conn).PeerName() == "laptop"
//
//	client, err := tls.NewClient(tls.Config{Cert: "laptop.pem", Key: "laptop.pem", CA: "laptop.pem"})
//	conn, err := client.Dial(ctx, "tcp", "vps.example.com:443")
//
// # Which peers are accepted
//
// Both ends present a certificate, and both verify the other's: its chain to one of the
// configured CAs, its dates, its purpose (a server certificate cannot be used by a
// client), its name (a client expects the host it dials) and that it is not revoked.
// Revocation is checked for resumed sessions too. A server without a CA for its clients
// would be an open proxy, so NewServer requires one.
//
// In TLS 1.3 a client finishes its handshake before the server has verified the
// client's certificate. So Dial may succeed even though the server then refuses the
// client; the first Read returns the refusal as a *CertificateError.
//
// # Files
//
// Files are PEM. One file may hold key, certificate and CA together; each field uses
// the parts it needs. Files are checked every two seconds and reloaded when they
// change. If a file becomes unusable, its last good content remains in use and the
// error is reported repeatedly until the file is fixed. The revocation list of a CA
// file NAME.pem is NAME.crl (or ca.crl) in the same folder. When a client is revoked,
// the server closes its open conns immediately, and their Read and Write return the
// reason (ErrDismissed). An expired certificate does not end a conn, but from then on
// Conn.Barred returns an error, because the peer may not start anything new. NewServer
// and NewClient return an error if the files would make every conn fail.
//
// # Limits
//
// crypto/tls never updates a conn's keys. AES-GCM is safe for about 2^24.5 records (RFC
// 8446 section 5.5), so the caller must close conns before then. A Write that times out
// leaves the conn unusable.
package tls
