package cli

import (
	"net"
	"strings"
)

// notifyReady tells systemd, if requested, that the process is listening;
// `systemctl start` does not return until then (sd_notify(3)).
func notifyReady(environ []string) error {
	const name = "NOTIFY_SOCKET="
	for _, e := range environ {
		path, ok := strings.CutPrefix(e, name)
		if !ok || path == "" {
			continue
		}
		c, err := net.Dial("unixgram", path) // for both Go and systemd, a path that begins with @ is an abstract socket
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("READY=1"))
		return err
	}
	return nil
}
