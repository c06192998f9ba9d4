package config

import (
	"fmt"
	"regexp"
	"strings"
)

// envPrefix is the prefix of this program's environment variables.
const envPrefix = "TUNNELS_"

// PasswordEnv is the environment variable with a password for `tunnels users add`. It
// is not an option.
const PasswordEnv = envPrefix + "PASSWORD"

// envName returns the environment variable of an option.
func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

// orchestrated matches the variables that Kubernetes and Docker links set in containers
// for a service whose name begins with "tunnels".
var orchestrated = regexp.MustCompile(`^TUNNELS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// parseEnv returns the options set in environ, and an *Error for each variable that has
// our prefix but no option.
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

// warnEnv warns about variables without an option. They are not errors, because other
// programs set variables too.
func (c *Config) warnEnv(unknown []*Error) {
	for _, e := range unknown {
		c.Warnings = append(c.Warnings, fmt.Sprintf("environment variable %s is ignored: %s", e.Value, e.Want))
	}
}
