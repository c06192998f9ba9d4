package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tunnels/internal/keytext"
)

// Parse parses the arguments after the program's name, the environment in the form of
// os.Environ, and the file that either of them names. It returns flag.ErrHelp if help
// was requested, ErrNoRole, or one or several joined errors of type *Error. An unknown
// environment variable is not an error, but is mentioned along with errors that it may
// explain.
func Parse(args, environ []string) (*Config, error) {
	c := &Config{given: make(map[string]given)}
	fromFlags, err := parseFlags(args, c.all(), c.names())
	if err != nil {
		return nil, err
	}
	fromEnv, unknown := parseEnv(environ, c.names())
	if err := c.parse(fromFlags, fromEnv); err != nil {
		bad := problems{err}
		for _, e := range unknown {
			bad.add(e)
		}
		return nil, bad.err()
	}
	c.warn()
	c.warnEnv(unknown)
	return c, nil
}

// parse reads the file and checks the values.
func (c *Config) parse(fromFlags, fromEnv map[string]given) error {
	fromFile, err := c.readFile(fromFlags, fromEnv)
	bad := problems{}
	bad.add(err)
	for _, m := range []map[string]given{fromFile, fromEnv, fromFlags} {
		maps.Copy(c.given, m)
	}
	for _, o := range c.all() {
		if err := checkKeyText(&o, c.given[o.name]); err != nil {
			bad.add(err)
		} else if err := o.set(c.value(&o)); err != nil {
			bad.add(c.wrong(o.name, "%v", err))
		}
	}
	if err := bad.err(); err != nil {
		return err // other problems may just be consequences
	}
	c.inferRole()
	if !c.Server && !c.Client {
		return ErrNoRole
	}
	c.derive()
	return c.check()
}

// readFile reads the file named by the command line or the environment.
func (c *Config) readFile(fromFlags, fromEnv map[string]given) (map[string]given, error) {
	file, ok := fromFlags["config"]
	if !ok {
		file = fromEnv["config"]
	}
	if file.value == "" || checkKeyText(c.option("config"), file) != nil { // reported along with the other errors
		return nil, nil
	}
	got, err := readFile(file.value, c.names())
	if err != nil && !isOurs(err) { // the file could not be read at all
		err = &Error{Name: "config", Value: file.value, Origin: file.origin, Want: err.Error()}
	}
	return got, err
}

// inferRole sets the role if none was given and only one is possible: only a server has
// a server certificate, and only a client has a client certificate and a server to
// connect to.
func (c *Config) inferRole() {
	if c.Given("server") || c.Given("client") {
		return
	}
	server := c.Given("tls.server.cert") || c.Given("tls.server.key")
	client := c.Given("server.addr") && (c.Given("tls.client.cert") || c.Given("tls.client.key"))
	if server != client {
		c.Server, c.Client = server, client
	}
}

// names returns the names of all options.
func (c *Config) names() []string {
	var names []string
	for _, o := range c.all() {
		names = append(names, o.name)
	}
	return names
}

// value returns the value set for o, or its default.
func (c *Config) value(o *option) string {
	if g, ok := c.given[o.name]; ok {
		return g.value
	}
	if o.arg == "" {
		return "false"
	}
	return o.def
}

// checkKeyText rejects a value that is itself a key or certificate, so that no later
// message can quote it. Text that merely looks like a key is accepted if it is never
// shown or is a path.
func checkKeyText(o *option, g given) error {
	want := "looks like a key, and there is no file with that name"
	switch {
	case keytext.IsPEM(g.value) && o.arg == "FILE":
		want = "contains a certificate or key (PEM): want a file name"
	case keytext.IsPEM(g.value):
		want = "contains a certificate or key (PEM)"
	case o.secret || o.hidden || !keytext.Looks(g.value) || isPath(g.value):
		return nil
	}
	return &Error{Name: o.name, Origin: g.origin, Want: want}
}

// isPath reports whether the file exists, or the folder it would be in.
func isPath(name string) bool {
	_, err := os.Stat(name)
	if dir := filepath.Dir(name); err != nil && dir != "." && dir != "/" {
		_, err = os.Stat(dir)
	}
	return err == nil
}

// isOurs reports whether err contains an *Error.
func isOurs(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// rawFlag stores an argument unchecked: values are checked once it is known which
// source wins.
type rawFlag struct {
	o   *option
	got map[string]given
}

// String implements flag.Value; the defaults are printed elsewhere.
func (f rawFlag) String() string { return "" }

// IsBoolFlag tells package flag which options need no value.
func (f rawFlag) IsBoolFlag() bool { return f.o != nil && f.o.arg == "" }

// Set implements flag.Value.
func (f rawFlag) Set(v string) error {
	if before, ok := f.got[f.o.name]; ok && f.o.list {
		v = before.value + "," + v
	}
	f.got[f.o.name] = given{v, commandLine}
	return nil
}

func parseFlags(args []string, all []option, names []string) (map[string]given, error) {
	got := make(map[string]given)
	fs := flag.NewFlagSet("tunnels", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for i := range all {
		fs.Var(rawFlag{&all[i], got}, all[i].name, "")
	}
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, flag.ErrHelp
	case err != nil:
		// Package flag has no types for these two errors; a test checks their texts.
		if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
			return nil, unknownName("-"+name, commandLine, dashed(names))
		}
		if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
			return nil, &Error{Name: name, Origin: commandLine, Want: "needs a value"}
		}
		return nil, &Error{Origin: commandLine, Want: keytext.Show(err.Error())}
	case fs.NArg() > 0:
		return nil, misplaced(args, fs.Arg(0), all)
	}
	return got, nil
}

// misplaced returns an Error about arg, the argument at which option parsing stopped.
func misplaced(args []string, arg string, all []option) error {
	want := "is not an option; options begin with -, and their values follow a space or ="
	before := ""
	if i := slices.Index(args, arg); i > 0 {
		before, _ = strings.CutPrefix(strings.TrimPrefix(args[i-1], "-"), "-")
	}
	isSwitch := slices.ContainsFunc(all, func(o option) bool { return o.arg == "" && o.name == before })
	switch {
	case isSwitch && isBool(arg):
		want = fmt.Sprintf("-%s takes its value after =; write -%[1]s or -%[1]s=false", before)
	case arg == "client" || arg == "server":
		want = fmt.Sprintf("want it as the first word, as in tunnels %s …, or as an option, -%[1]s", arg)
	}
	return &Error{Value: arg, Origin: commandLine, Want: want}
}

// isBool reports whether arg is a common spelling of on or off.
func isBool(arg string) bool {
	return slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "1", "0"}, strings.ToLower(arg))
}

func dashed(names []string) []string {
	d := make([]string, len(names))
	for i, n := range names {
		d[i] = "-" + n
	}
	return d
}
