package tls

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

const (
	maxCommonName = 64 // RFC 5280, ub-common-name
	maxHostName   = 253
	maxHostLabel  = 63
	firstClient   = "client"
)

// NameError is why a certificate cannot have a name, and what a right one is.
type NameError string

// Error implements error.
func (e NameError) Error() string { return string(e) }

func badName(format string, a ...any) error { return NameError(fmt.Sprintf(format, a...)) }

// clientName checks the name of a client. It becomes a file's name and a word
// of log lines.
func clientName(name string) error {
	const right = "1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first, as in laptop"
	switch {
	case name == "" || len(name) > maxCommonName || strings.Trim(name, clientLetters) != "":
		return badName("client name %.80q: right is %s", name, right)
	case strings.ContainsAny(name[:1], "._-") || strings.Contains(name, ".."):
		return badName("client name %q: right is %s", name, right)
	case strings.HasSuffix(strings.ToLower(name), ".pem"):
		return badName("client name %q: give the name without .pem, which the file gets by itself", name)
	}
	for _, ours := range []string{"ca", "server"} {
		if strings.EqualFold(name, ours) {
			return badName("client name %q: %s.pem is a file of the CA; take another name, as in laptop", name, ours)
		}
	}
	return nil
}

// clientLetters are those a client's name is made of.
const clientLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// hostNames checks what a server is reached by and writes each in its usual
// form, once.
func hostNames(names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, badName("no name: give every host name and address the server is reached by, as in `tunnels certs init vps.example.com 203.0.113.7`")
	}
	var good []string
	for _, name := range names {
		host, err := hostName(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(good, host) {
			good = append(good, host)
		}
	}
	return good, nil
}

func hostName(name string) (string, error) {
	bad := func(right string) (string, error) {
		return "", badName("server name %.80q: %s", name, right)
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		if ip.Zone() != "" || ip.IsUnspecified() {
			return bad("clients cannot dial this address; give the one they dial")
		}
		return ip.Unmap().String(), nil
	}
	host := strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case strings.Contains(host, "://") || strings.Contains(host, "/"):
		return bad("give the host alone, without scheme and path")
	case strings.Contains(host, ":"):
		return bad("give the host or address alone, without port and brackets")
	case host == "" || len(host) > maxHostName:
		return bad("right is a host name of 1 to 253 letters or an IP address")
	case strings.Trim(host, "0123456789.") == "":
		return bad("this is neither a whole IPv4 address nor a host name")
	}
	for i, part := range strings.Split(host, ".") {
		if i == 0 && part == "*" && strings.Count(host, ".") > 1 {
			continue // a wildcard for one level
		}
		if !hostLabel(part) {
			return bad("right is a host name (letters, digits and hyphens between dots) or an IP address")
		}
	}
	return host, nil
}

func hostLabel(s string) bool {
	return s != "" && len(s) <= maxHostLabel && s[0] != '-' && s[len(s)-1] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
