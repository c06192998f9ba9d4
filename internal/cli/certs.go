package cli

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"tunnels/internal/keytext"
	"tunnels/tls"
	"tunnels/tls/ca"
)

const certsUsage = `tunnels certs: a small CA for the server and its clients.

  tunnels certs init [-dir DIR] NAME…   make a CA, the server's certificate and
                                        one for the first client; NAME… lists
                                        every host name and address clients will
                                        connect to
  tunnels certs client [-dir DIR] NAME  make a certificate for another client,
                                        in NAME.pem
  tunnels certs list [-dir DIR]         list certificates and expiry dates
  tunnels certs revoke [-dir DIR] NAME|SERIAL
                                        revoke a client; its open connections
                                        also end within seconds
  tunnels certs crl [-dir DIR]          replace a lost ca.crl with an empty one;
                                        repeat the revocations it held

DIR is the folder with the CA's files [.]. ca.key can issue certificates for new
clients: keep it private. A client needs only its own .pem file.

Examples:
  tunnels certs init vps.example.com 203.0.113.7
  tunnels certs client laptop
  tunnels certs revoke laptop
`

// certs implements the verb certs.
func certs(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return usagef("certs: want init, client, list, revoke or crl; tunnels certs -h explains them")
	}
	var do func(dir string, names []string, w io.Writer) error
	switch args[0] {
	case "init":
		do = certsInit
	case "client":
		do = certsClient
	case "list":
		do = certsList
	case "revoke":
		do = certsRevoke
	case "crl":
		do = certsCRL
	default:
		return usagef("certs %s: want init, client, list, revoke or crl", keytext.Quote(args[0]))
	}
	fs := flag.NewFlagSet("certs "+args[0], flag.ContinueOnError)
	dir := fs.String("dir", ".", "")
	names, err := operands(fs, args[1:])
	if err != nil {
		return err
	}
	if args[0] != "init" { // init creates the folder
		if _, err := os.Stat(*dir); err != nil {
			return fmt.Errorf("%s: -dir: %w", fs.Name(), err)
		}
	}
	return do(*dir, names, stdout)
}

func certsInit(dir string, names []string, w io.Writer) error {
	if len(names) == 0 {
		return usagef("certs init needs the names and addresses that clients use to reach the server, as in: tunnels certs init vps.example.com")
	}
	r, err := ca.Init(dir, names)
	if err != nil {
		return err
	}
	wrote(w, r)
	in := func(name string) string { return filepath.Join(dir, name) }
	fmt.Fprintf(w, "\nOn the server:\n  tunnels server -server.addr :443 -tls.server.cert %s -tls.server.key %s -tls.server.ca %s\n",
		in("server.pem"), in("server.key"), in("ca.pem"))
	fmt.Fprintf(w, "On the client, after copying client.pem to it:\n  tunnels client -server.addr %s -tls.client.cert client.pem\n",
		hostPort(names[0], "443"))
	return nil
}

func certsClient(dir string, names []string, w io.Writer) error {
	if len(names) != 1 {
		return usagef("certs client takes one name, as in: tunnels certs client laptop")
	}
	r, err := ca.IssueClient(dir, names[0])
	if err != nil {
		return err
	}
	wrote(w, r)
	fmt.Fprintf(w, "\nOn the client, after copying that file to it:\n  tunnels client -server.addr %s -tls.client.cert %s\n", serverOf(dir), filepath.Base(r.Files[0]))
	return nil
}

// serverOf returns the address of the last server that the CA issued a certificate for,
// with the port that init suggests.
func serverOf(dir string) string {
	all, err := ca.List(dir)
	if err != nil {
		return "HOST:PORT" // not worth failing for: the certificate has been issued
	}
	address := "HOST:PORT"
	for _, i := range all {
		if i.Role == tls.ServerRole {
			address = hostPort(i.Name(), "443")
		}
	}
	return address
}

func wrote(w io.Writer, r *ca.Report) {
	for _, f := range r.Files {
		fmt.Fprintln(w, "wrote", f)
	}
	for _, i := range r.Issued {
		fmt.Fprintf(w, "issued %s %s, valid until %s, serial %s\n", i.Role, strings.Join(i.Names, ", "), i.NotAfter.Format(time.DateOnly), i.Serial)
	}
}

func certsList(dir string, names []string, w io.Writer) error {
	if len(names) != 0 {
		return usagef("certs list takes no names")
	}
	all, err := ca.List(dir)
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

func certsCRL(dir string, names []string, w io.Writer) error {
	if len(names) != 0 {
		return usagef("certs crl takes no names")
	}
	file, err := ca.NewCRL(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "wrote %s, an empty list: run `tunnels certs revoke` again for everything revoked earlier\n", file)
	return nil
}

func certsRevoke(dir string, names []string, w io.Writer) error {
	if len(names) != 1 {
		return usagef("certs revoke takes one name or serial number; tunnels certs list shows them")
	}
	revoked, err := ca.Revoke(dir, names[0])
	if err != nil {
		return err
	}
	for _, i := range revoked {
		fmt.Fprintf(w, "revoked %s %s, serial %s\n", i.Role, i.Name(), i.Serial)
	}
	fmt.Fprintf(w, "A server that reads %s picks this up within seconds. For other servers, copy ca.crl next to their ca.pem.\n", filepath.Join(dir, "ca.pem"))
	return nil
}
