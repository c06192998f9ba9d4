package tls

import "tunnels/tls/internal/pemfile"

// HoldsCA reports whether the PEM file at path holds a CA certificate, as the NAME.pem
// written by `tunnels certs client` does.
func HoldsCA(path string) (bool, error) {
	data, err := pemfile.Read(path, pemfile.MaxSize)
	if err != nil {
		return false, err
	}
	b, err := pemfile.Parse(data)
	return len(b.CAs()) > 0, err
}
