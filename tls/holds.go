package tls

// HoldsCA reports whether the PEM file at path holds a CA certificate, as the
// client.pem of `tunnels certs` does.
func HoldsCA(path string) (bool, error) {
	data, err := readFile(path, maxPEM)
	if err != nil {
		return false, err
	}
	b, err := parseBundle(data)
	return len(b.cas()) > 0, err
}
