package netx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// unixPathMax is the longest path that fits in Linux's sockaddr_un with its terminating
// zero. Other systems allow a few bytes less and return their own error.
const unixPathMax = 107

// probeTimeout limits the check for whether a socket file is in use.
const probeTimeout = 2 * time.Second

// listenUnix listens on the socket file path, which only this user can open. It
// replaces a socket file that nothing is listening on, but no other file. If two
// processes start together and both find the old file stale, the later one ends up with
// the path.
func listenUnix(ctx context.Context, lc net.ListenConfig, network, path string) (net.Listener, error) {
	if strings.HasPrefix(path, "@") { // abstract names, on Linux, are not files
		return lc.Listen(ctx, network, path)
	}
	if err := checkUnixPath(path); err != nil {
		return nil, fmt.Errorf("listening on %s %s: %w", network, path, err)
	}
	if err := removeStale(ctx, network, path); err != nil {
		return nil, fmt.Errorf("listening on %s %s: %w", network, path, err)
	}
	lc.Control = restrict
	l, err := lc.Listen(ctx, network, path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" { // on Windows, file modes do not restrict access
		if err := os.Chmod(path, 0o600); err != nil {
			l.Close()
			return nil, fmt.Errorf("listening on %s %s: %w", network, path, err)
		}
	}
	return l, nil
}

func checkUnixPath(path string) error {
	if path == "" {
		return errors.New("the path of the socket file is missing")
	}
	if len(path) > unixPathMax {
		return fmt.Errorf("the path is %d bytes long; the system allows only %d", len(path), unixPathMax)
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder %s does not exist: create it first", dir)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	return nil
}

// removeStale removes the socket file left behind by a process that is gone.
func removeStale(ctx context.Context, network, path string) error {
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if before.Mode().Type() != fs.ModeSocket {
		return errors.New("a file of that name exists and is not a socket: remove it or choose a different path")
	}
	d := net.Dialer{Timeout: probeTimeout}
	c, err := d.DialContext(ctx, network, path)
	if err == nil {
		c.Close()
		return errors.New("another process is already listening there")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !refused(err) {
		return fmt.Errorf("cannot tell whether the socket file is in use: %w", err)
	}
	// A live socket may have replaced the file in the meantime.
	if now, err := os.Lstat(path); err != nil || !os.SameFile(before, now) {
		return errors.New("the socket file changed in the meantime: another process is starting up with the same path")
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing the stale socket file: %w", err)
	}
	return nil
}

// refused reports whether err means that nothing is listening.
func refused(err error) bool {
	const wsaConnRefused = syscall.Errno(10061) // Windows' number, which package syscall does not map
	return errors.Is(err, syscall.ECONNREFUSED) || runtime.GOOS == "windows" && errors.Is(err, wsaConnRefused)
}
