package tls

// HoldsCA reports whether the PEM file at path holds the certificate of a CA, as
// the client.pem that `tunnels certs` makes does.
func HoldsCA(path string) (bool, error) {
	data, err := readFile(path, maxPEM)
	if err != nil {
		return false, err
	}
	b, err := parseBundle(data)
	return len(b.cas()) > 0, err
}
