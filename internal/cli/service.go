package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"tunnels/internal/units"
)

const serviceUsage = `tunnels service: print a service definition that runs this binary.

  tunnels service server     systemd unit for the server: runs as user tunnels
                             and reads /etc/tunnels/tunnels.conf
  tunnels service client     systemd user unit for the client: reads
                             ~/.config/tunnels/tunnels.conf
  tunnels service launchd    launchd file for the client on macOS

Example:
  tunnels service server >/etc/systemd/system/tunnels.service
`

// service implements the verb service, which prints a service definition.
func service(c call, args []string) error {
	if len(args) != 1 {
		return usagef("service: want server, client or launchd")
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this binary: %w", err)
	}
	home, err := os.UserHomeDir()
	if err != nil && args[0] == "launchd" {
		return fmt.Errorf("finding the home directory: %w", err)
	}
	text, ok := units.Text(args[0], binary, home)
	if !ok {
		return usagef("service: want server, client or launchd")
	}
	if args[0] == "server" && isPrivate(binary) {
		fmt.Fprintf(c.stderr, "tunnels: warning: user \"tunnels\" cannot run %s; copy it to /usr/local/bin and run it from there\n", binary)
	}
	_, err = io.WriteString(c.stdout, text)
	return err
}

// isPrivate reports whether a file is in a folder that the unit hides.
func isPrivate(path string) bool {
	return strings.HasPrefix(path, "/root/") || strings.HasPrefix(path, "/home/") || strings.HasPrefix(path, "/tmp/")
}
