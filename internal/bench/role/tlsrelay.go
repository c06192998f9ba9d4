package role

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"
)

// The reference is the simple design with a TLS connection per session. The front end is
// a SOCKS5 proxy; the back end dials the targets. Over TLS 1.3 the front end sends the
// target's address, preceded by its length; the back end answers with one byte, 0 if it
// reached the target; data follows in both directions.

// TLSBackAddrs holds the address and certificate of a back end.
type TLSBackAddrs struct {
	Addr string
	Cert []byte // DER
}

// tlsEnd is a running front or back end.
type tlsEnd struct {
	*Acceptor
	cert []byte
}

func (b *tlsEnd) where() any { return TLSBackAddrs{b.Addr(), b.cert} }

func startTLSBack(addr string) (*tlsEnd, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	buffers := newBuffers()
	a, err := Serve(addr, func(a *Acceptor, c *net.TCPConn) {
		near := tls.Server(c, config)
		var size [1]byte
		if _, err := io.ReadFull(near, size[:]); err != nil {
			return
		}
		target := make([]byte, size[0])
		if _, err := io.ReadFull(near, target); err != nil {
			return
		}
		far, err := net.DialTimeout("tcp", string(target), 10*time.Second)
		if err != nil || !a.hold(far) {
			near.Write([]byte{1})
			return
		}
		defer a.drop(far)
		if _, err := near.Write([]byte{0}); err == nil {
			relayBoth(near, far.(*net.TCPConn), buffers)
		}
	})
	return &tlsEnd{a, der}, err
}

// TLSFrontSpec configures a front end with its back end.
type TLSFrontSpec struct {
	Addr string
	Back TLSBackAddrs
}

func startTLSFront(spec TLSFrontSpec) (*tlsEnd, error) {
	cert, err := x509.ParseCertificate(spec.Back.Cert)
	if err != nil {
		return nil, fmt.Errorf("backend certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "127.0.0.1"}
	buffers := newBuffers()
	a, err := Serve(spec.Addr, func(a *Acceptor, c *net.TCPConn) {
		target, err := acceptSocks(c)
		if err != nil {
			return
		}
		lower, err := net.DialTimeout("tcp", spec.Back.Addr, 10*time.Second)
		if err != nil || !a.hold(lower) {
			return
		}
		defer a.drop(lower)
		far := tls.Client(lower, config)
		reply := []byte{5, 1, 0, 1, 0, 0, 0, 0, 0, 0}
		if _, err = far.Write(append([]byte{byte(len(target))}, target...)); err == nil {
			_, err = io.ReadFull(far, reply[1:2]) // 1 means a general failure
		}
		if _, failed := c.Write(reply); failed == nil && err == nil && reply[1] == 0 {
			relayBoth(far, c, buffers)
		}
	})
	return &tlsEnd{a, nil}, err
}

// acceptSocks reads a greeting and a CONNECT to an IPv4 address.
func acceptSocks(c net.Conn) (target string, err error) {
	var b [256]byte
	_, err = io.ReadFull(c, b[:2])
	if err == nil {
		_, err = io.ReadFull(c, b[:b[1]])
	}
	if err == nil {
		_, err = c.Write([]byte{5, 0})
	}
	if err == nil {
		_, err = io.ReadFull(c, b[:10])
	}
	if err != nil {
		return "", err
	}
	if [4]byte(b[:4]) != [4]byte{5, 1, 0, 1} {
		return "", errors.New("not a CONNECT to an IPv4 address")
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[8])<<8|uint16(b[9])).String(), nil
}

func newBuffers() *sync.Pool { return &sync.Pool{New: func() any { return new([256 << 10]byte) }} }

// relayBoth copies in both directions until each has ended.
func relayBoth(a *tls.Conn, b *net.TCPConn, buffers *sync.Pool) {
	oneWay := func(dst interface{ CloseWrite() error }, w io.Writer, src io.Reader) {
		buf := buffers.Get().(*[256 << 10]byte)
		defer buffers.Put(buf)
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{src}, buf[:]); err != nil {
			a.NetConn().Close()
			b.Close()
			return
		}
		dst.CloseWrite()
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { oneWay(a, a, b) })
	oneWay(b, b, a)
}
