// Package units contains the service definitions for systemd and launchd.
package units

import (
	"embed"
	"html"
	"strings"
)

//go:embed server.service client.service launchd.plist
var files embed.FS

// installed is the binary's path in the service definitions.
const installed = "/usr/local/bin/tunnels"

// Text returns the service definition of a kind (server, client or launchd) for the
// binary at a path and, for launchd, a home directory. It returns false for an unknown
// kind.
func Text(kind, binary, home string) (string, bool) {
	names := map[string]string{"server": "server.service", "client": "client.service", "launchd": "launchd.plist"}
	b, err := files.ReadFile(names[kind])
	if err != nil {
		return "", false
	}
	if kind == "launchd" {
		return strings.NewReplacer(installed, html.EscapeString(binary), "HOME", html.EscapeString(home)).Replace(string(b)), true
	}
	return strings.Replace(string(b), installed, word(binary), 1), true
}

// word quotes a path for a systemd command line, where % begins a specifier and $ a
// variable (systemd.service(5), "Command lines").
func word(path string) string {
	path = strings.NewReplacer("%", "%%", "$", "$$").Replace(path)
	if !strings.ContainsAny(path, " \t\"'\\") {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}
