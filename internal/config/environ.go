package config

import (
	"fmt"
	"regexp"
	"strings"
)

// envPrefix begins the names of our environment variables.
const envPrefix = "TUNNELS_"

// PasswordEnv is the environment variable that holds a password for `tunnels users
// add`. It is no option.
const PasswordEnv = envPrefix + "PASSWORD"

// envName returns how the environment spells an option's name.
func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

// orchestrated matches the variables that Kubernetes and Docker's links set in
// every container beside a service whose name begins with "tunnels".
var orchestrated = regexp.MustCompile(`^TUNNELS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// parseEnv returns what environ says of the options, and an *Error for each
// variable that is spelled like one of ours and is none.
func parseEnv(environ []string, names []string) (got map[string]given, unknown []*Error) {
	byEnv := make(map[string]string, len(names))
	known := make([]string, len(names))
	for i, n := range names {
		known[i] = envName(n)
		byEnv[known[i]] = n
	}
	got = make(map[string]given)
	for _, kv := range environ {
		key, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(key, envPrefix) || value == "" || key == PasswordEnv {
			continue
		}
		if name, ok := byEnv[key]; ok {
			got[name] = given{value, "environment variable " + key}
		} else if !orchestrated.MatchString(key) {
			unknown = append(unknown, unknownName(key, "environment", known))
		}
	}
	return got, unknown
}

// warnEnv warns of the variables that no option has: others than the user set
// variables, too.
func (c *Config) warnEnv(unknown []*Error) {
	for _, e := range unknown {
		c.Warnings = append(c.Warnings, fmt.Sprintf("environment variable %s is ignored: %s", e.Value, e.Want))
	}
}
