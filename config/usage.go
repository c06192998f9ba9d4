package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	columns = 80
	indent  = 29 // where explanations begin
)

const head = `tunnels: a proxy here, an exit there, mutually authenticated TLS between them.

Usage:
  tunnels -client -server.addr HOST:PORT [options]    on the laptop
  tunnels -server -server.addr :PORT [options]        on the server
  tunnels certs init | client | list | revoke         certificates
  tunnels users add | list | remove                   for -client.users
  tunnels check [options]                             is everything right?
  tunnels bench [options]                             how fast is it?
  tunnels version

Defaults stand in [brackets].
`

const tail = `
Each option may also stand in the environment, -server.addr as
TUNNELS_SERVER_ADDR, and in the file of -config, as server.addr = VALUE.
The command line beats the environment, which beats the file.

Examples:
  Try it out, both ends in one process, without certificates:
    tunnels -server -client -sla.log.path -

  The exit, on the server:
    tunnels -server -server.addr :443 -tls.server.cert server.pem \
      -tls.server.key server.key -tls.server.ca ca.pem

  The proxy, on the laptop; point the browser's SOCKS5 at 127.0.0.1:1080:
    tunnels -client -server.addr vps.example:443 \
      -tls.client.cert client.pem -tls.client.ca client.pem
`

// Usage writes the help: every option with its default, and examples.
func Usage(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString(head)
	for _, g := range (&Config{}).groups() {
		fmt.Fprintf(b, "\n%s:\n", g.title)
		for _, o := range g.options {
			left := "  -" + o.name
			if o.arg != "" {
				left += " " + o.arg
			}
			for i, line := range wrap(o.describe(), columns-indent) {
				switch {
				case i > 0:
					left = ""
				case len(left) > indent-2:
					fmt.Fprintln(b, left)
					left = ""
				}
				fmt.Fprintf(b, "%-*s%s\n", indent, left, line)
			}
		}
	}
	b.WriteString(tail)
	return b.Flush()
}

// describe is the option's help and its default.
func (o *option) describe() string {
	switch {
	case o.show != "":
		return fmt.Sprintf("%s [%s]", o.help, o.show)
	case o.arg == "":
		return o.help + " [off]"
	}
	return fmt.Sprintf("%s [%s]", o.help, o.def)
}

// wrap breaks s between words into lines of at most width characters.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
