package tls

import (
	"errors"
	"time"

	"tunnels/tls/internal/authority"
)

// Throwaway creates a CA, a server certificate and a client certificate in memory, for
// trying both roles in one process. The server certificate is valid for names, localhost
// and the loopback addresses. The CA's key is discarded on return, so it cannot issue
// further certificates.
func Throwaway(names ...string) (server, client *Material, err error) {
	now := time.Now()
	names = append([]string{"localhost", "127.0.0.1", "::1"}, names...)
	names, err = authority.HostNames(names)
	if err != nil {
		return nil, nil, err
	}
	ca, err := authority.New(now)
	if err != nil {
		return nil, nil, err
	}
	s, serr := ca.IssueNow(ServerRole, names, now)
	c, cerr := ca.IssueNow(ClientRole, []string{authority.FirstClient}, now)
	if err := errors.Join(serr, cerr); err != nil {
		return nil, nil, err
	}
	stext, serr := s.BundlePEM(ca)
	ctext, cerr := c.BundlePEM(ca)
	if err := errors.Join(serr, cerr); err != nil {
		return nil, nil, err
	}
	return &Material{Cert: stext, Key: stext, CA: stext}, &Material{Cert: ctext, Key: ctext, CA: ctext}, nil
}
