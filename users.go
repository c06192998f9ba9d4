package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"tunnels/config"
	"tunnels/eagersocks"
	"tunnels/internal/keytext"
)

const usersUsage = `tunnels users: who may use the client, for -client.users FILE.

  tunnels users add FILE NAME     gives NAME a password, a new one if it has one;
                                  FILE is made if there is none
  tunnels users list FILE         the names
  tunnels users remove FILE NAME

The password is taken from the environment variable TUNNELS_PASSWORD, else from
the first line of standard input. A running client follows within a second;
connections that are open stay.

Examples:
  tunnels users add /etc/tunnels/users alice
  pass show proxy | tunnels users add /etc/tunnels/users alice
`

// passwordLine is more than a line with a password in it can have.
const passwordLine = 4096

// users is the verb of that name.
func users(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		io.WriteString(stdout, usersUsage)
		return fmt.Errorf("%w: users wants add, list or remove", errUsage)
	}
	verb := args[0]
	fs := flag.NewFlagSet("users "+verb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	switch err := fs.Parse(args[1:]); {
	case err == flag.ErrHelp, verb == "-h", verb == "help":
		_, err := io.WriteString(stdout, usersUsage)
		return err
	case err != nil:
		return fmt.Errorf("%w: users %s: %v", errUsage, verb, err)
	}
	args = fs.Args()
	switch {
	case verb == "add" && len(args) == 2:
		return usersAdd(args[0], args[1], environ, stdin, stdout, stderr)
	case verb == "list" && len(args) == 1:
		names, err := eagersocks.ListUsers(args[0])
		for _, n := range names {
			fmt.Fprintln(stdout, n)
		}
		return err
	case verb == "remove" && len(args) == 2:
		if err := eagersocks.RemoveUser(args[0], args[1]); err != nil {
			return err
		}
		_, err := fmt.Fprintf(stdout, "removed %s from %s\n", args[1], args[0])
		return err
	case verb == "add", verb == "remove":
		return fmt.Errorf("%w: users %s wants a file and a name, as in: tunnels users %s /etc/tunnels/users alice", errUsage, verb, verb)
	case verb == "list":
		return fmt.Errorf("%w: users list wants a file, as in: tunnels users list /etc/tunnels/users", errUsage)
	}
	return fmt.Errorf("%w: users %s: want add, list or remove", errUsage, keytext.Quote(verb))
}

func usersAdd(file, name string, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	password, err := readPassword(name, environ, stdin, stderr)
	if err != nil {
		return err
	}
	replaced, err := eagersocks.AddUser(file, name, password)
	if err != nil {
		return err
	}
	did := "added %s to %s\n"
	if replaced {
		did = "gave %s a new password in %s\n"
	}
	_, err = fmt.Fprintf(stdout, did, name, file)
	return err
}

// readPassword takes a password from the environment or from standard input.
func readPassword(name string, environ []string, stdin io.Reader, stderr io.Writer) (string, error) {
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, config.PasswordEnv+"="); ok && v != "" {
			return v, nil
		}
	}
	if isTerminal(stdin) {
		fmt.Fprintf(stderr, "Password of %s (it is shown as you type; Ctrl-C leaves everything as it is): ", name)
	}
	line, err := bufio.NewReader(io.LimitReader(stdin, passwordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if keytext.IsPEM(line) {
		return "", fmt.Errorf("%w: standard input is a certificate or key (PEM), not a password", errUsage)
	}
	if line == "" {
		return "", fmt.Errorf("%w: there is no password: want it in %s or on standard input", errUsage, config.PasswordEnv)
	}
	return line, nil
}

// isTerminal tells whether somebody types what r reads.
func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
