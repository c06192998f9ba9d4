package cli

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"tunnels/internal/config"
	"tunnels/internal/keytext"
	"tunnels/internal/terminal"
	"tunnels/internal/users"
)

const usersUsage = `tunnels users: manage the passwords for -client.users FILE.

  tunnels users add FILE NAME     set or change NAME's password; creates FILE if
                                  it does not exist
  tunnels users list FILE         list the names
  tunnels users remove FILE NAME  remove NAME

The password is read from the environment variable TUNNELS_PASSWORD, else from
standard input; it is not echoed on a terminal. A running client reloads the
file within a second.

Examples:
  tunnels users add /etc/tunnels/users alice
  pass show proxy | tunnels users add /etc/tunnels/users alice
`

// passwordLine is longer than any line with a password.
const passwordLine = 4096

// runUsers implements the verb users.
func runUsers(c call, args []string) error {
	if len(args) == 0 {
		return usagef("users: want add, list or remove; tunnels users -h explains them")
	}
	verb := args[0]
	args, err := operands(flag.NewFlagSet("users "+keytext.Show(verb), flag.ContinueOnError), args[1:])
	if err != nil {
		return err
	}
	switch {
	case verb == "add" && len(args) == 2:
		return usersAdd(c, args[0], args[1])
	case verb == "list" && len(args) == 1:
		names, err := users.List(args[0])
		for _, n := range names {
			fmt.Fprintln(c.stdout, n)
		}
		return err
	case verb == "remove" && len(args) == 2:
		if err := users.Remove(args[0], args[1]); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.stdout, "removed %s from %s\n", args[1], args[0])
		return err
	case verb == "add", verb == "remove":
		return usagef("users %s needs a file and a name, as in: tunnels users %[1]s /etc/tunnels/users alice", verb)
	case verb == "list":
		return usagef("users list needs a file, as in: tunnels users list /etc/tunnels/users")
	}
	return usagef("users %s: want add, list or remove", keytext.Quote(verb))
}

func usersAdd(c call, file, name string) error {
	password, err := readPassword(c, name)
	if err != nil {
		return err
	}
	replaced, err := users.Add(file, name, password)
	if err != nil {
		return err
	}
	did := "added %s to %s\n"
	if replaced {
		did = "changed the password of %s in %s\n"
	}
	_, err = fmt.Fprintf(c.stdout, did, name, file)
	return err
}

// readPassword reads a password from the environment or from standard input.
func readPassword(c call, name string) (string, error) {
	for _, kv := range c.environ {
		if v, ok := strings.CutPrefix(kv, config.PasswordEnv+"="); ok && v != "" {
			return v, nil
		}
	}
	if terminal.Is(c.stdin) {
		return typedPassword(c, name)
	}
	line, err := bufio.NewReader(io.LimitReader(c.stdin, passwordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if keytext.IsPEM(line) {
		return "", usagef("standard input is a certificate or key (PEM), not a password")
	}
	if line == "" {
		return "", usagef("no password given: set %s or pass it on standard input", config.PasswordEnv)
	}
	return line, nil
}

// typedPassword prompts for a password twice, because it is not echoed.
func typedPassword(c call, name string) (string, error) {
	f := c.stdin.(*os.File) // terminals are files
	password, err := terminal.ReadPassword(f, c.stderr, fmt.Sprintf("Password for %s: ", name))
	if err != nil {
		return "", err
	}
	if password == "" {
		return "", usagef("no password given; nothing was changed")
	}
	again, err := terminal.ReadPassword(f, c.stderr, "Repeat it: ")
	if err == nil && again != password {
		err = errors.New("the two passwords differ; nothing was changed")
	}
	return password, err
}
