package resolve

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tunnels/internal/netx"
)

const (
	// maxDatagram limits the size of received datagrams; servers send at most udpSize.
	maxDatagram = 4096
	// maxForeign is how many datagrams that do not answer the question are tolerated
	// before switching to TCP, in case an attacker is guessing.
	maxForeign = 32
)

// plain is a server queried over UDP, and over TCP if the answer is too long, or over
// TCP only. Every query has its own socket: a forger must guess its source port, chosen
// randomly by the kernel, and its id (RFC 5452), and the kernel drops datagrams from
// other addresses.
type plain struct{ Upstream }

func (p *plain) close() {}

func (p *plain) lookup(ctx context.Context, q question, patience time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dq, err := q.dnsQuestion()
	if err != nil {
		return answer{}, err
	}
	if p.scheme == "tcp" {
		return p.overTCP(ctx, dq)
	}
	a, err := p.overUDP(ctx, dq)
	if errors.Is(err, errTruncated) {
		return p.overTCP(ctx, dq)
	}
	return a, err
}

// connect dials the server and closes the connection when ctx ends.
func (p *plain) connect(ctx context.Context, network string) (c net.Conn, closeAll func(), err error) {
	c, err = netx.Dialer(0).DialContext(ctx, network, p.addr.String())
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return c, func() {
		stop()
		c.Close()
	}, nil
}

// overUDP sends the query in one datagram. errTruncated means that the caller must use
// TCP.
func (p *plain) overUDP(ctx context.Context, dq dnsmessage.Question) (answer, error) {
	id := randomID()
	msg, err := query(nil, id, dq)
	if err != nil {
		return answer{}, err
	}
	c, closeAll, err := p.connect(ctx, "udp")
	if err != nil {
		return answer{}, err
	}
	defer closeAll()
	if _, err := c.Write(msg); err != nil {
		return answer{}, fmt.Errorf("asking: %w", err)
	}
	buf := make([]byte, maxDatagram)
	for range maxForeign {
		n, err := c.Read(buf)
		if err != nil {
			return answer{}, noAnswer(err)
		}
		a, err := parseAnswer(buf[:n], id, dq)
		if !errors.Is(err, errForeign) {
			return a, err
		}
	}
	return answer{}, errTruncated
}

// overTCP sends the query on a new connection (RFC 7766).
func (p *plain) overTCP(ctx context.Context, dq dnsmessage.Question) (answer, error) {
	id := randomID()
	msg, err := query(make([]byte, 2, 512), id, dq)
	if err != nil {
		return answer{}, err
	}
	binary.BigEndian.PutUint16(msg, uint16(len(msg)-2))
	c, closeAll, err := p.connect(ctx, "tcp")
	if err != nil {
		return answer{}, err
	}
	defer closeAll()
	if _, err := c.Write(msg); err != nil {
		return answer{}, fmt.Errorf("asking: %w", err)
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return answer{}, noAnswer(err)
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return answer{}, noAnswer(err)
	}
	return parseAnswer(buf, id, dq)
}

func noAnswer(err error) error {
	if isTimeout(err) {
		return fmt.Errorf("did not answer: %w", err)
	}
	return fmt.Errorf("waiting for its answer: %w", err)
}

func randomID() uint16 {
	var b [2]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}
