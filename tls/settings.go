package tls

import ctls "crypto/tls"

// settings returns the configuration that both ends share: TLS 1.3 and a single
// protocol. The cipher suites and curves are the defaults of crypto/tls.
func (c *Config) settings() *ctls.Config {
	return &ctls.Config{
		MinVersion: ctls.VersionTLS13,
		NextProtos: []string{c.protocol()},
	}
}
