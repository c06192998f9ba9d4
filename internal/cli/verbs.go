package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"tunnels/internal/config"
	"tunnels/internal/keytext"
	"tunnels/internal/typo"
)

// call holds everything a verb gets besides its arguments.
type call struct {
	ctx            context.Context
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// verb is one entry of the table of verbs.
type verb struct {
	name string
	does string // description in the list of verbs
	help func(w io.Writer) error
	// run runs the verb. It returns flag.ErrHelp if help was requested.
	run func(c call, args []string) error
	// options is set if the arguments include the process's own options, parsed by config.
	options bool
}

// verbs returns the table of verbs in the order of the help text.
func verbs() []verb {
	return []verb{
		{name: "client", does: "run the proxy, on the laptop (same as tunnels -client)", help: roleHelp("client", clientHelp), run: role("client"), options: true},
		{name: "server", does: "run the exit, on the server (same as tunnels -server)", help: roleHelp("server", serverHelp), run: role("server"), options: true},
		{name: "certs", does: "make, list and revoke certificates", help: printed(certsUsage), run: func(c call, args []string) error { return certs(args, c.stdout) }},
		{name: "users", does: "manage the passwords for -client.users", help: printed(usersUsage), run: runUsers},
		{name: "check", does: "validate a configuration and test the connection", help: printed(checkUsage), run: check, options: true},
		{name: "service", does: "print a systemd unit or launchd file", help: printed(serviceUsage), run: service},
		{name: "bench", does: "compare SOCKS5 proxies on this machine", help: benchHelp, run: bench},
		{name: "version", does: "print the version", help: printed("tunnels version: print the version.\n"), run: func(c call, args []string) error {
			if len(args) > 0 {
				return usagef("version takes no arguments")
			}
			_, err := fmt.Fprintln(c.stdout, versionLine())
			return err
		}},
		{name: "help", does: "explain a verb; help options lists all options", help: help, run: helpOn},
	}
}

// findVerb returns the verb with that name.
func findVerb(name string) (verb, bool) {
	all := verbs()
	i := slices.IndexFunc(all, func(v verb) bool { return v.name == name })
	if i < 0 {
		return verb{}, false
	}
	return all[i], true
}

func verbNames() []string {
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return names
}

// unknownVerb returns the error for a first word that is not a verb.
func unknownVerb(name string) error {
	if near := typo.Nearest(name, verbNames()); near != "" {
		return usagef("unknown verb %s: did you mean %s?", keytext.Quote(name), near)
	}
	names := verbNames()
	return usagef("unknown verb %s: want %s or %s, or options (tunnels -h)", keytext.Quote(name), strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
}

// do runs v, or writes its help if the arguments request it.
func (v verb) do(c call, args []string) error {
	if !v.options && slices.ContainsFunc(args, looksLikeKey) {
		return usagef("%s: an argument looks like a key, and there is no file with that name", v.name)
	}
	if len(args) > 0 && (isHelp(args[0]) || args[0] == "help") {
		return v.help(c.stdout)
	}
	err := v.run(c, args)
	if errors.Is(err, flag.ErrHelp) {
		return v.help(c.stdout)
	}
	return err
}

func isHelp(arg string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, arg) }

// role returns a function that runs one role, like the option of that name.
func role(name string) func(c call, args []string) error {
	return func(c call, args []string) error { return serve(c, append([]string{"-" + name}, args...)) }
}

func printed(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

const helpHead = `tunnels: SOCKS5/HTTP proxy over mutually authenticated TLS.

Examples:
  Try it out, both ends in one process, without certificates:
    tunnels -server -client -sla.log.path -

  On the server, make the certificates and run the exit:
    tunnels certs init vps.example
    tunnels server -server.addr :443 -tls.server.cert server.pem \
      -tls.server.key server.key -tls.server.ca ca.pem

  On the laptop, which needs client.pem; in the browser, set the SOCKS v5 proxy
  to 127.0.0.1, port 1080:
    tunnels client -server.addr vps.example:443 -tls.client.cert client.pem

Usage: tunnels VERB … or tunnels -client | -server [options]
`

const helpTail = `
tunnels VERB -h explains a verb; tunnels help options lists all options.
`

// help writes the short help.
func help(w io.Writer) error {
	var b strings.Builder
	b.WriteString(helpHead)
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-9s %s\n", v.name, v.does)
	}
	b.WriteString(helpTail)
	_, err := io.WriteString(w, b.String())
	return err
}

// helpOn implements the verb help.
func helpOn(c call, args []string) error {
	switch {
	case len(args) == 0:
		return help(c.stdout)
	case len(args) > 1:
		return usagef("help: want one verb, as in tunnels help certs")
	case args[0] == "options":
		return config.Usage(c.stdout)
	}
	v, ok := findVerb(args[0])
	if !ok {
		return unknownVerb(args[0])
	}
	return v.help(c.stdout)
}

const clientHelp = `tunnels client: run the proxy that applications use. Same as tunnels -client.

  tunnels client -server.addr HOST:PORT -tls.client.cert FILE [options]

Example, with client.pem made by tunnels certs:
  tunnels client -server.addr vps.example:443 -tls.client.cert client.pem
`

const serverHelp = `tunnels server: run the exit that connects to targets. Same as tunnels -server.

  tunnels server -server.addr :PORT -tls.server.cert FILE -tls.server.key FILE \
    -tls.server.ca FILE [options]

Example, with the files made by tunnels certs:
  tunnels server -server.addr :443 -tls.server.cert server.pem \
    -tls.server.key server.key -tls.server.ca ca.pem
`

const checkUsage = `tunnels check: validate a configuration, test the connection, suggest fixes.

  tunnels check [client | server] [-offline] [-target HOST:PORT] [options]

Give it the same options as the process to be checked. For a client, it
tests the connection to each server step by step, then sends one request through
the exit, to example.com:443 or -target. For a server, it tests that the process
can listen and that its resolver can resolve the target's name. With -offline,
it makes no connections. The exit code is 0 if every step passed, 2 for an
invalid option and 1 for any other failure.

Example:
  tunnels check client -server.addr vps.example:443 -tls.client.cert client.pem
`

// roleHelp returns a function that writes a role's help: text, then the role's options.
func roleHelp(name, text string) func(io.Writer) error {
	return func(w io.Writer) error {
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return config.UsageFor(w, name)
	}
}

// operands parses args, in which options may appear anywhere, and returns the operands.
// Everything after -- is an operand.
func operands(fs *flag.FlagSet, args []string) ([]string, error) {
	fs.SetOutput(io.Discard)
	var all []string
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, flag.ErrHelp
			}
			return nil, usagef("%s: %v", fs.Name(), err)
		}
		if n := len(args) - fs.NArg(); n > 0 && args[n-1] == "--" {
			return append(all, fs.Args()...), nil
		}
		if fs.NArg() == 0 {
			return all, nil
		}
		all, args = append(all, fs.Arg(0)), fs.Args()[1:]
	}
}
