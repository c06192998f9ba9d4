package authority

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
)

// FirstClient is the name of the first client, for which a new CA issues a certificate.
const FirstClient = "client"

// NameError explains why a name is not valid in a certificate, and what a valid one looks
// like.
type NameError string

// Error implements error.
func (e NameError) Error() string { return string(e) }

func badName(format string, a ...any) error { return NameError(fmt.Sprintf(format, a...)) }

// CheckClientName checks a client's name, which becomes a file name and a word in log
// lines.
func CheckClientName(name string) error {
	const right = "1 to 64 letters, digits, dots, hyphens and underscores, a letter or digit first, as in laptop"
	switch {
	case name == "" || len(name) > maxCommonName || strings.Trim(name, clientLetters) != "":
		return badName("client name %.80q: want %s", name, right)
	case strings.ContainsAny(name[:1], "._-") || strings.Contains(name, ".."):
		return badName("client name %q: want %s", name, right)
	case strings.HasSuffix(strings.ToLower(name), ".pem"):
		return badName("client name %q: give the name without .pem; the file name gets it automatically", name)
	}
	for _, ours := range []string{"ca", "server"} {
		if strings.EqualFold(name, ours) {
			return badName("client name %q: %s.pem is a file of the CA; choose another name, as in laptop", name, ours)
		}
	}
	return nil
}

// clientLetters are the characters allowed in a client's name.
const clientLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// HostNames checks the names that clients connect to and returns them in canonical
// form, without duplicates.
func HostNames(names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, badName("no name: give every host name and address clients connect to, as in `tunnels certs init vps.example.com 203.0.113.7`")
	}
	var good []string
	for _, name := range names {
		host, err := HostName(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(good, host) {
			good = append(good, host)
		}
	}
	return good, nil
}

// HostName is like HostNames, but for a single name.
func HostName(name string) (string, error) {
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
		return bad("want a host name of 1 to 253 letters or an IP address")
	case strings.Trim(host, "0123456789.") == "":
		return bad("this is neither a whole IPv4 address nor a host name")
	}
	for i, part := range strings.Split(host, ".") {
		if i == 0 && part == "*" && strings.Count(host, ".") > 1 {
			continue // a wildcard for one level
		}
		if !hostLabel(part) {
			return bad("want a host name (letters, digits and hyphens between dots) or an IP address")
		}
	}
	return host, nil
}

func hostLabel(s string) bool {
	return s != "" && len(s) <= maxHostLabel && s[0] != '-' && s[len(s)-1] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
