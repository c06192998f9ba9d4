package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tunnels/eagersocks"
	"tunnels/internal/httpdoor"
	"tunnels/internal/keytext"
	"tunnels/internal/netx"
	"tunnels/internal/policy"
	"tunnels/internal/resolve"
	"tunnels/internal/rules"
	"tunnels/internal/upstream"
	"tunnels/sla"
)

// The functions in this file return an option's set function: it stores a value of one
// type, or returns an error that says what is expected.

func text(dst *string) func(string) error {
	return func(v string) error {
		if strings.ContainsRune(v, 0) {
			return errors.New("want text without NUL bytes")
		}
		*dst = v
		return nil
	}
}

func toggle(dst *bool) func(string) error {
	return func(v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("want true or false")
		}
		*dst = b
		return nil
	}
}

func oneOf(dst *string, names []string) func(string) error {
	return func(v string) error {
		for _, n := range names {
			if v == n {
				*dst = v
				return nil
			}
		}
		return fmt.Errorf("want %s or %s", strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
	}
}

// logLevel stores a level that sla can parse.
func logLevel(dst *string) func(string) error {
	return func(v string) error {
		if _, err := sla.ParseLevel(v); err != nil || v == "" {
			return errors.New("want debug, info, warn, error or fatal")
		}
		*dst = v
		return nil
	}
}

// number stores an integer from lo to hi, multiplied by unit.
func number[T int | int64](dst *T, lo, hi, unit int64) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("want a whole number from %d to %d", lo, hi)
		}
		*dst = T(n * unit)
		return nil
	}
}

func seconds(dst *time.Duration, lo, hi int64) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < lo || n > hi {
			return fmt.Errorf("want a whole number of seconds from %d to %d", lo, hi)
		}
		*dst = time.Duration(n) * time.Second
		return nil
	}
}

func mode(dst *eagersocks.Mode) func(string) error {
	return func(v string) error {
		m, err := eagersocks.ParseMode(v)
		if err != nil {
			return errors.New("want on, off or auto")
		}
		*dst = m
		return nil
	}
}

// targets stores a list of targets; option is the name that its messages use.
func targets(dst **policy.List, option string) func(string) error {
	return func(v string) error {
		l, err := policy.Parse(v)
		if err != nil {
			return err
		}
		l.Name = "-" + option
		*dst = l
		return nil
	}
}

// limit stores an integer from lo to hi, times unit, as a limit; option is the name that
// its messages use.
func limit(dst *rules.Limit, option string, lo, hi, unit int64) func(string) error {
	return func(v string) error {
		dst.Rule = "-" + option
		return number(&dst.Max, lo, hi, unit)(v)
	}
}

// entries stores the comma-separated entries.
func entries(dst *[]string) func(string) error {
	return func(v string) error {
		if strings.ContainsRune(v, 0) {
			return errors.New("want text without NUL bytes")
		}
		*dst = split(v)
		if v != "" && len(*dst) != 1+strings.Count(v, ",") {
			return errors.New("want something before and after each comma")
		}
		return nil
	}
}

func split(list string) (all []string) {
	for e := range strings.SplitSeq(list, ",") {
		if e = strings.TrimSpace(e); e != "" {
			all = append(all, e)
		}
	}
	return all
}

// upstreams stores the DNS servers; option is the name that their messages use.
func upstreams(dst *resolve.Config, option string) func(string) error {
	return func(v string) error {
		ups, err := resolve.Parse(v)
		if err != nil {
			return err
		}
		*dst = resolve.Config{Upstreams: ups, Name: "-" + option}
		return nil
	}
}

// congestion stores a congestion control that this process can use.
func congestion(dst *netx.Congestion) func(string) error {
	return func(v string) (err error) {
		*dst, err = netx.ParseCongestion(v)
		return err
	}
}

// choice stores how a client chooses among servers.
func choice(dst *upstream.Choice) func(string) error {
	return func(v string) error {
		c, err := upstream.ParseChoice(v)
		if err != nil || v == "" {
			return errors.New("want best, order or spread")
		}
		*dst = c
		return nil
	}
}

// pacList stores a list of hosts for the PAC file.
func pacList(dst *httpdoor.PACList) func(string) error {
	return func(v string) (err error) {
		*dst, err = httpdoor.ParsePACList(v)
		return err
	}
}

func serverName(dst *string) func(string) error {
	return func(v string) error {
		if v != "" && !isHost(v) {
			return errors.New("want a host name or an address, without a port")
		}
		*dst = v
		return nil
	}
}

// alert stores a value that sla accepts in the Config returned by with.
func alert(dst *string, with func(string) sla.Config) func(string) error {
	return func(v string) error {
		c := with(v)
		c.Names = slaNames()
		if err := c.Validate(); err != nil {
			_, what, _ := strings.Cut(err.Error(), ": ") // the caller adds the option's name
			return errors.New(what)
		}
		*dst = v
		return nil
	}
}

// use is the purpose of an address.
type use uint8

const (
	listening use = iota // the host may be empty and the port 0
	dialing
)

// checkAddress returns an error if address is not valid on network.
func checkAddress(network, address string, u use) error {
	if network == "unix" {
		return checkPath(address)
	}
	if strings.Contains(address, "/") {
		return errors.New("want host:port without a path or scheme; the path of a UNIX socket needs network unix")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if ip, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil && ip.Is6() {
			return fmt.Errorf("want the port too, and the address in brackets, as in [%s]:443", ip)
		}
		if _, err := strconv.ParseUint(address, 10, 16); err == nil && u == listening {
			return fmt.Errorf("want a colon before the port, as in :%s", address)
		}
		if isHost(address) {
			return fmt.Errorf("want the port too, as in %s:443", address)
		}
		return errors.New("want host:port, as in vps.example:443 or [2001:db8::1]:443")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		return fmt.Errorf("port %s: want a number from 0 to 65535", keytext.Quote(port))
	case n == 0 && u == dialing:
		return errors.New("port 0: want the server's port, 1 to 65535")
	case host == "" && u == dialing:
		return fmt.Errorf("want the server's host before the colon, as in vps.example:%s", port)
	case host != "" && !isHost(host):
		return fmt.Errorf("host %s: want a name or an address", keytext.Quote(host))
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if network == "tcp4" && ip.Is6() || network == "tcp6" && ip.Is4() {
			return fmt.Errorf("%s is not an address of network %s", host, network)
		}
	}
	return nil
}

// maxPath is the longest path of a UNIX socket on Linux.
const maxPath = 107

func checkPath(path string) error {
	if path == "" {
		return errors.New("want the path of a socket file, as in /run/tunnels.sock")
	}
	if len(path) > maxPath {
		return fmt.Errorf("the path is %d bytes long: want at most %d", len(path), maxPath)
	}
	return nil
}

// isHost reports whether s is an IP address or could be a host name.
func isHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return strings.IndexFunc(ip.Zone(), notInLabel) < 0 // otherwise it could contain anything
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.IndexFunc(label, notInLabel) >= 0 {
			return false
		}
	}
	return true
}

func notInLabel(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}
