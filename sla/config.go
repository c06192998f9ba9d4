package sla

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"unicode"
)

// Config sets where the log is written and where alerts are sent. The zero Config logs
// at level info, as text, to standard error, without alerts.
//
// When printed by package fmt or as JSON, a Config does not show its secrets.
type Config struct {
	Level   string // debug, info, warn, error or fatal; default DefaultLevel
	Path    string // file, or standard error if empty or "-"
	Default bool   // Path is a default: if permission is denied, log to standard error without a warning
	Format  string // text or json; default DefaultFormat
	MaxMB   int    // size in MiB at which the file is rotated; 0 means DefaultMaxMB
	Backups int    // number of rotated files to keep; 0 means DefaultBackups

	DingTalkToken   string `json:"-"` // robot's access token; empty disables alerts. "@file" reads it from a file
	DingTalkSecret  string `json:"-"` // signing secret, or empty if the robot does not check signatures; "@file" likewise
	DingTalkTargets bool   // alerts may name targets
	DingTalkURL     string `json:"-"` // webhook URL without the token; default: DingTalk's public address

	Names Names `json:"-"` // used in messages

	Stderr io.Writer `json:"-"` // replaces standard error; nil means os.Stderr
}

// Names holds the names of a Config's settings as users know them, for use in messages.
// Empty ones are replaced by plain words.
type Names struct {
	Level, Format, MaxMB, Backups string

	DingTalkToken, DingTalkSecret, DingTalkURL string
}

// names returns c.Names with empty ones replaced by plain words.
func (c Config) names() Names {
	n := c.Names
	return Names{
		Level:          cmp.Or(n.Level, "the level"),
		Format:         cmp.Or(n.Format, "the format"),
		MaxMB:          cmp.Or(n.MaxMB, "the maximum size in MiB"),
		Backups:        cmp.Or(n.Backups, "the number of backups"),
		DingTalkToken:  cmp.Or(n.DingTalkToken, "the DingTalk token"),
		DingTalkSecret: cmp.Or(n.DingTalkSecret, "the DingTalk secret"),
		DingTalkURL:    cmp.Or(n.DingTalkURL, "the DingTalk URL"),
	}
}

// Defaults for a Config.
const (
	DefaultLevel   = LevelInfo
	DefaultFormat  = formatText
	DefaultMaxMB   = 100
	DefaultBackups = 5
)

// Line formats.
const (
	formatText = "text"
	formatJSON = "json"
)

const (
	maxMB     = 1 << 20 // 1 TiB
	maxSecret = 4 << 10 // maximum size of a file that holds a token or secret

	pemBegin = "-----BEGIN"

	robotURL = "https://oapi.dingtalk.com/robot/send"
)

// Validate returns the error that [New] would return. It reads the files that hold
// secrets and does not touch the log file.
func (c Config) Validate() error {
	_, err := c.settle()
	return err
}

// String returns c with its secrets masked.
func (c Config) String() string { return fmt.Sprintf("%+v", c.masked()) }

// GoString returns c as a Go value, with its secrets masked.
func (c Config) GoString() string { return fmt.Sprintf("%#v", c.masked()) }

// shown is a Config without its methods.
type shown Config

func (c Config) masked() shown {
	c.DingTalkToken = mask(c.DingTalkToken)
	c.DingTalkSecret = mask(c.DingTalkSecret)
	c.DingTalkURL, _, _ = strings.Cut(c.DingTalkURL, "?") // a URL that the user pasted may contain the token
	return shown(c)
}

// mask hides a secret, but not the name of a file that holds one.
func mask(secret string) string {
	if secret == "" || secret[0] == '@' {
		return secret
	}
	return "***"
}

// settings holds a Config's values with defaults filled in and files read.
type settings struct {
	level   Level
	path    string // empty for standard error
	quiet   bool   // do not warn if permission for path is denied
	json    bool
	maxMB   int
	backups int
	robot   *robot // nil for no alerts
	stderr  io.Writer
}

// settle validates c. Errors name the setting, its value unless it is secret, and the
// expected form.
func (c Config) settle() (settings, error) {
	s := settings{
		path:    c.Path,
		quiet:   c.Default,
		json:    c.Format == formatJSON,
		maxMB:   cmp.Or(c.MaxMB, DefaultMaxMB),
		backups: cmp.Or(c.Backups, DefaultBackups),
		stderr:  c.Stderr,
	}
	if s.stderr == nil {
		s.stderr = os.Stderr
	}
	switch s.path {
	case "-", "/dev/stderr", "/dev/fd/2", "/proc/self/fd/2":
		s.path = ""
	case "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1":
		// Use standard output directly instead of opening it by name, because the name
		// may refer to a socket, which cannot be opened, or to another program's file,
		// which must not be rotated.
		s.path, s.stderr = "", os.Stdout
	}

	var errs []error
	names := c.names()
	check := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	var err error
	s.level, err = ParseLevel(c.Level)
	check(names.Level, err)
	if c.Format != "" && c.Format != formatText && c.Format != formatJSON {
		check(names.Format, fmt.Errorf("%q is not a format; want text or json", c.Format))
	}
	if s.maxMB < 0 || s.maxMB > maxMB {
		check(names.MaxMB, fmt.Errorf("%d is out of range; want 1 to %d", c.MaxMB, maxMB))
	}
	if s.backups < 0 {
		check(names.Backups, fmt.Errorf("%d is negative; want 1 or more", c.Backups))
	}
	s.robot = c.robot(check)
	return s, errors.Join(errs...)
}

// robot returns the robot configured in c, or nil if there is none. It reports errors
// to check.
func (c Config) robot(check func(name string, err error)) *robot {
	names := c.names()
	token, err := secret(c.DingTalkToken)
	check(names.DingTalkToken, err)
	key, err := secret(c.DingTalkSecret)
	check(names.DingTalkSecret, err)
	if c.DingTalkToken == "" && c.DingTalkSecret != "" {
		check(names.DingTalkToken, fmt.Errorf("empty although %s is set; want the robot's access token or @file", names.DingTalkSecret))
	}
	u, err := robotAddress(cmp.Or(c.DingTalkURL, robotURL), names)
	check(names.DingTalkURL, err)
	if token == "" {
		return nil
	}
	return &robot{url: u, token: token, secret: key, targets: c.DingTalkTargets}
}

// secret returns value itself or, if it begins with "@", the content of the named file.
func secret(value string) (string, error) {
	path, isFile := strings.CutPrefix(value, "@")
	if strings.Contains(value, pemBegin) {
		return "", errors.New("is the text of a certificate or key (PEM); want a secret or @file")
	}
	if !isFile {
		return value, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w; want a readable file after the @", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if strings.Contains(s, pemBegin) { // otherwise it would be sent to the robot
		return "", fmt.Errorf("file %s is a certificate or key (PEM), not a secret", path)
	}
	if s == "" || len(b) > maxSecret {
		return "", fmt.Errorf("file %s is %d bytes long; want a secret of 1 to %d bytes", path, len(b), maxSecret)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) { // probably not a secret's file
		return "", fmt.Errorf("file %s has more than one word; want a secret", path)
	}
	return s, nil
}

// robotAddress validates the robot's address. Errors do not repeat it, because users
// may paste a whole URL including the token.
func robotAddress(s string, names Names) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("not a URL; want https://host/path")
	case u.RawQuery != "" || u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("has a query, a user or a fragment; want https://host/path, and the token in %s", names.DingTalkToken)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, errors.New("would send the token unencrypted; want https://host/path")
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
