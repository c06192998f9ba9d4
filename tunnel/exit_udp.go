package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// resolve is the addresses of a name.
func (e *exit) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolving %q: %w", host, err)
	}
	return ips, nil
}
