package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// contactWait is how long the greeting waits for a server to answer.
const contactWait = time.Second

// greet prints what was started; greetContact prints the rest.
func (p *process) greet(w io.Writer) {
	if p.tryingOut() {
		fmt.Fprintln(w, "Trial mode: client and server run in this process, with certificates that")
		fmt.Fprintln(w, "are discarded when it ends.")
	}
	for _, r := range p.tasks {
		if r.name == "server" {
			fmt.Fprintf(w, "Server: %s\n", r.begun)
		}
	}
	if p.client != nil {
		fmt.Fprintf(w, "Client: SOCKS5 proxy on %s\n", listed(p.client.Addrs(), "\n        and on "))
	}
	log := p.log.File()
	if log == "" {
		log = "here"
	}
	fmt.Fprintf(w, "Log:    %s\nStop:   Ctrl-C\n", log)
}

// greetContact prints whether a server has answered, and how to use the client. Later
// changes are logged.
func (p *process) greetContact(w io.Writer) {
	within, cancel := context.WithTimeout(p.closing, contactWait)
	defer cancel()
	server, rtt, err := p.client.Contact(within)
	if p.closing.Err() != nil {
		return
	}
	var b strings.Builder
	switch {
	case err != nil:
		fmt.Fprintf(&b, "Status: not connected yet: %v\n        Still trying.\n", err)
	case server != "":
		fmt.Fprintf(&b, "Status: %s\n", connected(server, rtt))
	}
	p.greetTry(&b)
	fmt.Fprint(w, b.String())
	if err != nil {
		server, rtt, err = p.client.Contact(p.closing)
	}
	if err == nil && server != "" {
		p.log.Info("%s", connected(server, rtt))
	}
}

func connected(server string, rtt time.Duration) string {
	if rtt == 0 {
		return "connected to " + server
	}
	return fmt.Sprintf("connected to %s (%s)", server, inMS(rtt))
}

// inMS formats a duration in milliseconds, with the precision useful for round trips.
func inMS(d time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
}

// greetTry prints how to use the client, if it can be used over TCP.
func (p *process) greetTry(w io.Writer) {
	addrs := p.client.Addrs()
	i := slices.IndexFunc(addrs, func(a net.Addr) bool { return a.Network() != "unix" })
	if i < 0 {
		return
	}
	page, user := p.pageAt, ""
	if page == "" {
		page = "https://example.com/"
	}
	if p.cfg.Tunnel.ClientUsers != "" {
		user = "-U NAME "
	}
	fmt.Fprintf(w, "Help:   http://%s/ explains how to set up programs; this port is also an HTTP proxy\n", dialable(addrs[i]))
	fmt.Fprintf(w, "Try:    curl %s-x socks5h://%s %s\n", user, dialable(addrs[i]), page)
}
