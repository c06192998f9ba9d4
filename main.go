// Command tunnels is a SOCKS5 proxy on one machine and its exit on another.
//
//	tunnels -server -server.addr :443 …    the exit
//	tunnels -client -server.addr HOST:443 …    the proxy
//	tunnels certs init HOST                the certificates both need
//	tunnels users add FILE NAME            who may use the proxy
//	tunnels check …                        what is wrong with a configuration
//	tunnels bench                          how fast it is, beside others
//	tunnels version
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"tunnels/config"
	"tunnels/internal/keytext"
)

// version is set by the linker: see the Makefile.
var version string

// errUsage marks what the user can mend on the command line: exit code 2.
var errUsage = errors.New("usage")

func main() {
	err := run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(os.Stderr, "tunnels:", strings.TrimSuffix(line, "\n"))
	}
	if _, bad := errors.AsType[*config.Error](err); bad || errors.Is(err, errUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

// run does what args say. It returns when the process is to end.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && (args[0] == "-version" || args[0] == "--version") {
		args = []string{"version"}
	}
	if slices.ContainsFunc(args, keytext.IsPEM) {
		return fmt.Errorf("%w: the command line holds the text of a certificate or key (PEM): give the name of its file", errUsage)
	}
	verb := ""
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		verb, args = args[0], args[1:]
	}
	if verb != "" && verb != "check" { // whose options are judged one by one
		if slices.ContainsFunc(args, looksLikeKey) {
			return fmt.Errorf("%w: %s: an argument looks like the text of a key, and there is no file of that name", errUsage, keytext.Show(verb))
		}
	}
	switch verb {
	case "":
		return serve(ctx, args, environ, stdout, stderr)
	case "certs":
		return certs(args, stdout)
	case "users":
		return users(args, environ, os.Stdin, stdout, stderr)
	case "check":
		return check(args, environ, stdout, stderr)
	case "bench":
		return bench(ctx, args, stdout, stderr)
	case "version":
		fmt.Fprintln(stdout, versionLine())
		return nil
	case "help":
		return parsed(nil, flag.ErrHelp, stdout)
	}
	return fmt.Errorf("%w: unknown verb %s: want certs, users, check, bench or version, or flags (tunnels -h)", errUsage, keytext.Quote(verb))
}

func versionLine() string {
	v := version
	if v == "" {
		v = "unknown"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
			v = info.Main.Version
		}
	}
	return fmt.Sprintf("tunnels %s %s/%s %s", v, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// looksLikeKey reports whether an argument may be the text of a key rather than the
// name of a file.
func looksLikeKey(arg string) bool {
	if !keytext.Looks(arg) {
		return false
	}
	_, err := os.Stat(arg)
	return err != nil
}
