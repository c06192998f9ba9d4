package main

import (
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"tunnels/internal/keytext"
	"tunnels/tls"
)

const certsUsage = `tunnels certs: a small CA for the server and its clients.

  tunnels certs init [-dir DIR] NAME…   a CA, the server's certificate and a
                                        first client's; NAMEs are the host names
                                        and addresses the server is reached by
  tunnels certs client [-dir DIR] NAME  one more client: NAME.pem
  tunnels certs list [-dir DIR]         what was issued, and until when
  tunnels certs revoke [-dir DIR] NAME|SERIAL
                                        lets that client in no more, within
                                        seconds also on open connections

DIR is where the CA's files are (default: this folder). Keep ca.key there and
give it to nobody; a client needs its own .pem file and nothing else.

Examples:
  tunnels certs init vps.example.com 203.0.113.7
  tunnels certs client laptop
  tunnels certs revoke laptop
`

// certs is the verb of that name.
func certs(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		io.WriteString(stdout, certsUsage)
		return fmt.Errorf("%w: certs wants init, client, list or revoke", errUsage)
	}
	verb := args[0]
	fs := flag.NewFlagSet("certs "+verb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	dir := fs.String("dir", ".", "")
	switch err := fs.Parse(args[1:]); {
	case err == flag.ErrHelp, verb == "-h", verb == "help":
		_, err := io.WriteString(stdout, certsUsage)
		return err
	case err != nil:
		return fmt.Errorf("%w: certs %s: %v", errUsage, verb, err)
	}
	names := fs.Args()
	for _, n := range names {
		if strings.HasPrefix(n, "-") {
			return fmt.Errorf("%w: certs %s: %s must stand before the names", errUsage, verb, n)
		}
	}
	switch verb {
	case "init":
		return certsInit(*dir, names, stdout)
	case "client":
		return certsClient(*dir, names, stdout)
	case "list":
		return certsList(*dir, names, stdout)
	case "revoke":
		return certsRevoke(*dir, names, stdout)
	}
	return fmt.Errorf("%w: certs %s: want init, client, list or revoke", errUsage, keytext.Quote(verb))
}

func certsInit(dir string, names []string, w io.Writer) error {
	if len(names) == 0 {
		return fmt.Errorf("%w: certs init wants the names and addresses by which clients reach the server, as in: tunnels certs init vps.example.com", errUsage)
	}
	r, err := tls.Init(dir, names)
	if err != nil {
		return err
	}
	wrote(w, r)
	in := func(name string) string { return filepath.Join(dir, name) }
	fmt.Fprintf(w, "\nOn the server:\n  tunnels -server -server.addr :443 -tls.server.cert %s -tls.server.key %s -tls.server.ca %s\n",
		in("server.pem"), in("server.key"), in("ca.pem"))
	fmt.Fprintf(w, "On the client, with client.pem copied there:\n  tunnels -client -server.addr %s -tls.client.cert client.pem -tls.client.ca client.pem\n",
		hostPort(names[0], "443"))
	return nil
}

func certsClient(dir string, names []string, w io.Writer) error {
	if len(names) != 1 {
		return fmt.Errorf("%w: certs client wants one name, as in: tunnels certs client laptop", errUsage)
	}
	r, err := tls.IssueClient(dir, names[0])
	if err != nil {
		return err
	}
	wrote(w, r)
	f := filepath.Base(r.Files[0])
	fmt.Fprintf(w, "\nCopy it to the client; there: tunnels -client -server.addr HOST:PORT -tls.client.cert %s -tls.client.ca %s\n", f, f)
	return nil
}

func wrote(w io.Writer, r *tls.Report) {
	for _, f := range r.Files {
		fmt.Fprintln(w, "wrote", f)
	}
	for _, i := range r.Issued {
		fmt.Fprintf(w, "issued %s %s, valid until %s, serial %s\n", i.Role, strings.Join(i.Names, ", "), i.NotAfter.Format(time.DateOnly), i.Serial)
	}
}

func certsList(dir string, names []string, w io.Writer) error {
	if len(names) != 0 {
		return fmt.Errorf("%w: certs list takes no names", errUsage)
	}
	all, err := tls.List(dir)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tROLE\tUNTIL\tSTATE\tSERIAL\tFILE")
	for _, i := range all {
		state := "valid"
		switch {
		case !i.Revoked.IsZero():
			state = "revoked " + i.Revoked.Format(time.DateOnly)
		case time.Now().After(i.NotAfter):
			state = "expired"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", i.Name(), i.Role, i.NotAfter.Format(time.DateOnly), state, i.Serial, i.File)
	}
	return t.Flush()
}

func certsRevoke(dir string, names []string, w io.Writer) error {
	if len(names) != 1 {
		return fmt.Errorf("%w: certs revoke wants one name or serial number; tunnels certs list shows them", errUsage)
	}
	revoked, err := tls.Revoke(dir, names[0])
	if err != nil {
		return err
	}
	for _, i := range revoked {
		fmt.Fprintf(w, "revoked %s %s, serial %s\n", i.Role, i.Name(), i.Serial)
	}
	fmt.Fprintf(w, "A server that reads %s follows within seconds; copy ca.crl beside the ca.pem of any other.\n", filepath.Join(dir, "ca.pem"))
	return nil
}
