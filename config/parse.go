package config

import (
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"tunnels/internal/keytext"
)

// envPrefix begins the names of our environment variables.
const envPrefix = "TUNNELS_"

// PasswordEnv is the environment variable that holds a password for `tunnels users
// add`. It is no option.
const PasswordEnv = envPrefix + "PASSWORD"

// Parse reads the arguments behind the program's name and the environment, as
// os.Environ gives it, and the file that either of them names. Its errors are
// flag.ErrHelp if help was asked for, ErrNoRole, and otherwise one or, joined,
// many of type *Error.
func Parse(args, environ []string) (*Config, error) {
	c := &Config{given: make(map[string]given)}
	all := c.all()
	names := make([]string, len(all))
	for i, o := range all {
		names[i] = o.name
	}

	fromFlags, err := parseFlags(args, all, names)
	if err != nil {
		return nil, err
	}
	var bad problems
	fromEnv, err := parseEnv(environ, names)
	bad.add(err)
	fromFile := map[string]given{}
	file, ok := fromFlags["config"]
	if !ok {
		file = fromEnv["config"]
	}
	if err := checkKeyText(c.option("config"), file); err != nil {
		return nil, err
	}
	if file.value != "" {
		fromFile, err = readFile(file.value, names)
		if err != nil && !isOurs(err) { // it could not be read at all
			err = &Error{Name: "config", Value: file.value, Origin: file.origin, Want: err.Error()}
		}
		bad.add(err)
	}
	for _, m := range []map[string]given{fromFile, fromEnv, fromFlags} {
		maps.Copy(c.given, m)
	}
	for _, o := range all {
		if err := checkKeyText(&o, c.given[o.name]); err != nil {
			bad.add(err)
		} else if err := o.set(c.value(&o)); err != nil {
			bad.add(c.wrong(o.name, "%v", err))
		}
	}
	if err := bad.err(); err != nil {
		return nil, err // what else is wrong may only follow from that
	}
	if !c.Server && !c.Client {
		return nil, ErrNoRole
	}
	c.derive()
	if err := c.check(); err != nil {
		return nil, err
	}
	c.warn()
	return c, nil
}

// value is what was given for o, else its default.
func (c *Config) value(o *option) string {
	if g, ok := c.given[o.name]; ok {
		return g.value
	}
	if o.arg == "" {
		return "false"
	}
	return o.def
}

// checkKeyText refuses the text of a key or certificate as a value, so that nothing
// further on repeats it. Text that only looks like it is accepted for a secret, and
// where it is a path.
func checkKeyText(o *option, g given) error {
	want := "looks like the text of a key, and there is no file of that name"
	switch {
	case keytext.IsPEM(g.value) && o.arg == "FILE":
		want = "holds the text of a certificate or key (PEM): want the name of its file"
	case keytext.IsPEM(g.value):
		want = "holds the text of a certificate or key (PEM)"
	case o.secret || !keytext.Looks(g.value) || isPath(g.value):
		return nil
	}
	return &Error{Name: o.name, Origin: g.origin, Want: want}
}

// isPath reports whether there is a file of that name, or a folder to put it in.
func isPath(name string) bool {
	_, err := os.Stat(name)
	if dir := filepath.Dir(name); err != nil && dir != "." && dir != "/" {
		_, err = os.Stat(dir)
	}
	return err == nil
}

// isOurs tells whether err holds an *Error.
func isOurs(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// rawFlag takes an argument as it is: values are judged once it is known which
// of the three sources is asked.
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
		// Package flag has no types for these two; a test holds it to its words.
		if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
			return nil, unknown("-"+name, commandLine, dashed(names))
		}
		if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
			return nil, &Error{Name: name, Origin: commandLine, Want: "want a value behind it"}
		}
		return nil, &Error{Origin: commandLine, Want: keytext.Show(err.Error())}
	case fs.NArg() > 0:
		want := "is no option; options begin with -, and their values follow a blank or ="
		return nil, &Error{Value: fs.Arg(0), Origin: commandLine, Want: want}
	}
	return got, nil
}

func dashed(names []string) []string {
	d := make([]string, len(names))
	for i, n := range names {
		d[i] = "-" + n
	}
	return d
}

// envName is how the environment spells an option's name.
func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

func parseEnv(environ []string, names []string) (map[string]given, error) {
	byEnv := make(map[string]string, len(names))
	known := make([]string, len(names))
	for i, n := range names {
		known[i] = envName(n)
		byEnv[known[i]] = n
	}
	got := make(map[string]given)
	var bad problems
	for _, kv := range environ {
		key, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(key, envPrefix) || value == "" || key == PasswordEnv {
			continue
		}
		name, ok := byEnv[key]
		if !ok {
			bad.add(unknown(key, "environment", known))
			continue
		}
		got[name] = given{value, "environment variable " + key}
	}
	return got, bad.err()
}
