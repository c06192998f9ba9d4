package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"tunnels/internal/lines"
)

// Print writes the effective configuration as a file for -config. Defaults are
// commented out; so are secrets that are not in a file of their own, without their
// values.
func (c *Config) Print(w io.Writer) error {
	b := bufio.NewWriter(w)
	for i, g := range c.groups() {
		if i > 0 {
			fmt.Fprintln(b)
		}
		fmt.Fprintf(b, "# %s\n", g.title)
		for _, o := range g.options {
			c.printOption(b, &o)
		}
	}
	return b.Flush()
}

func (c *Config) printOption(w io.Writer, o *option) {
	got, ok := c.given[o.name]
	switch {
	case o.name == "config": // not allowed in a file
	case !ok && o.show != "":
		fmt.Fprintf(w, "# %s = (%s)\n", o.name, o.show)
	case !ok:
		fmt.Fprintf(w, "# %s = %s\n", o.name, lines.Quote(c.value(o)))
	case o.secret && got.value != "" && !strings.HasPrefix(got.value, "@"):
		fmt.Fprintf(w, "# %s is set (%s) and not shown\n", o.name, got.origin)
	default:
		fmt.Fprintf(w, "%s = %s\n", o.name, lines.Quote(got.value))
	}
}
