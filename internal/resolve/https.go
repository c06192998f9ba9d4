package resolve

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"tunnels/internal/netx"
)

const (
	maxMessage  = 65535 // as over TCP
	messageType = "application/dns-message"
)

// https is a DNS over HTTPS server (RFC 8484). If its host is a name, the system
// resolver resolves it.
type https struct {
	Upstream
	transport *http.Transport
	client    *http.Client
}

func newHTTPS(u Upstream) *https {
	t := &http.Transport{
		DialContext:            netx.Dialer(0).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        32, // for HTTP/1.1; one is enough for HTTP/2
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true,
		// Pings detect a connection that has died silently.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second},
		// No Proxy, because the one in the environment may be this tunnel.
	}
	return &https{u, t, &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (h *https) close() { h.transport.CloseIdleConnections() }

func (h *https) lookup(ctx context.Context, q question, patience time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dq, err := q.dnsQuestion()
	if err != nil {
		return answer{}, err
	}
	msg, err := query(nil, 0, dq) // the id is always 0 (RFC 8484 section 4.1)
	if err != nil {
		return answer{}, err
	}
	reply, err := h.post(ctx, msg)
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(reply, 0, dq)
}

// post sends a message and reads the reply. Errors do not contain the URL's path.
func (h *https) post(ctx context.Context, msg []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(msg))
	if err != nil {
		return nil, errors.New("building the request failed")
	}
	req.Header.Set("Content-Type", messageType)
	req.Header.Set("Accept", messageType)
	req.Header["User-Agent"] = nil
	resp, err := h.client.Do(req)
	if err != nil {
		h.transport.CloseIdleConnections() // don't retry on the same connection
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, fmt.Errorf("asking: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered with HTTP status %d", resp.StatusCode)
	}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t != messageType {
		return nil, fmt.Errorf("answered with %.60q, not %s", t, messageType)
	}
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	if err != nil {
		return nil, noAnswer(err)
	}
	if len(reply) > maxMessage {
		return nil, fmt.Errorf("answered with more than %d bytes", maxMessage)
	}
	return reply, nil
}
