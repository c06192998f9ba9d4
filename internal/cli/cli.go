// Package cli implements the command line: one file per verb, and a table of verbs from
// which the help and usage errors are generated.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"slices"

	"tunnels/internal/config"
	"tunnels/internal/keytext"
	"tunnels/tls/ca"
)

// version is set by scripts/build.sh.
var version string

// usageError is an error that the user can fix on the command line.
type usageError string

// Error implements error.
func (e usageError) Error() string { return string(e) }

func usagef(format string, a ...any) error { return usageError(fmt.Sprintf(format, a...)) }

// Main runs the command line of the process, reports errors and returns the exit code.
func Main() int {
	err := run(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	if err == nil {
		return 0
	}
	printError(os.Stderr, keytext.Hide(err.Error(), os.Args[1:]))
	return exitCode(err)
}

// fileError is an error in a file named by an option: certificates, users, rules. Like
// a usageError, the user can fix it.
type fileError struct{ error }

// Unwrap returns the underlying error.
func (e fileError) Unwrap() error { return e.error }

// exitCode returns 2 if retrying cannot help: for an invalid option or name, or a file
// that does not exist or cannot be used.
func exitCode(err error) int {
	_, option := errors.AsType[*config.Error](err)
	_, usage := errors.AsType[usageError](err)
	_, file := errors.AsType[fileError](err)
	_, name := errors.AsType[ca.NameError](err)
	if option || usage || file || name || errors.Is(err, fs.ErrNotExist) {
		return 2
	}
	return 1
}

// run runs the command in args. It returns when the process should exit.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) error {
	c := call{ctx, environ, stdin, stdout, stderr}
	if slices.ContainsFunc(args, keytext.IsPEM) {
		return usagef("the command line contains a certificate or key (PEM): give a file name instead")
	}
	if len(args) == 1 && slices.Contains([]string{"-version", "--version", "-v", "-V"}, args[0]) {
		args = []string{"version"}
	}
	if len(args) == 0 || !isWord(args[0]) {
		return verb{run: serve, help: help, options: true}.do(c, args)
	}
	v, ok := findVerb(args[0])
	if !ok {
		return unknownVerb(args[0])
	}
	return v.do(c, args[1:])
}

// isWord reports whether arg is not an option.
func isWord(arg string) bool { return arg != "" && arg[0] != '-' }

// looksLikeKey reports whether arg may be a key rather than a file name.
func looksLikeKey(arg string) bool {
	if !keytext.Looks(arg) {
		return false
	}
	_, err := os.Stat(arg)
	return err != nil
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
