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
	indent  = 29 // column of the explanations
)

const head = `tunnels: all options, with their defaults in [brackets].
`

const tail = `
Options may also be set in the environment (-server.addr as TUNNELS_SERVER_ADDR)
and in the file named by -config (server.addr = VALUE).
The command line overrides the environment, which overrides the file.
`

// Usage writes every option with its default.
func Usage(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString(head)
	writeOptions(b, func(option) bool { return true })
	b.WriteString(tail)
	return b.Flush()
}

// UsageFor writes the options that apply to a role, "client" or "server".
func UsageFor(w io.Writer, role string) error {
	b := bufio.NewWriter(w)
	writeOptions(b, func(o option) bool { return o.concerns(role) })
	b.WriteString(tail)
	return b.Flush()
}

// concerns reports whether an option applies to a role.
func (o *option) concerns(role string) bool {
	switch {
	case o.name == "server", o.name == "client":
		return false // the role is already chosen
	case o.name == "tls.server.name":
		return role == "client"
	case strings.HasPrefix(o.name, "tls."):
		return strings.HasPrefix(o.name, "tls."+role+".")
	}
	of := end(o.name)
	return of == "" || of == role
}

func writeOptions(w io.Writer, want func(option) bool) {
	for _, g := range (&Config{}).groups() {
		title := g.title
		for _, o := range g.options {
			if !want(o) {
				continue
			}
			if title != "" {
				fmt.Fprintf(w, "\n%s:\n", title)
				title = ""
			}
			writeOption(w, &o)
		}
	}
}

func writeOption(w io.Writer, o *option) {
	left := "  -" + o.name
	if o.arg != "" {
		left += " " + o.arg
	}
	for i, line := range wrap(o.describe(), columns-indent) {
		switch {
		case i > 0:
			left = ""
		case len(left) > indent-2:
			fmt.Fprintln(w, left)
			left = ""
		}
		fmt.Fprintf(w, "%-*s%s\n", indent, left, line)
	}
}

// describe returns an option's help and default.
func (o *option) describe() string {
	switch {
	case o.show != "":
		return fmt.Sprintf("%s [%s]", o.help, o.show)
	case o.arg == "":
		return o.help + " [off]"
	}
	return fmt.Sprintf("%s [%s]", o.help, o.def)
}

// wrap splits s between words into lines of at most width characters.
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
