package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"

	"tunnels/internal/bench/role"
)

func splitAddr(addr string) (host, port string, err error) { return net.SplitHostPort(addr) }

// sshMissing reports what is missing to run ssh -D.
func sshMissing() error {
	for _, name := range []string{"ssh", "sshd", "ssh-keygen"} {
		if _, err := find(name); err != nil {
			return err
		}
	}
	return nil
}

// sshKeys generates the host key and the user key, once.
func sshKeys(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	keygen, err := find("ssh-keygen")
	if err != nil {
		return err
	}
	for _, name := range []string{"host", "user"} {
		if out, err := exec.CommandContext(ctx, keygen, "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	key, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "known"), append([]byte("bench "), key...), 0o600)
}

// startSSH starts a private sshd on loopback, with its own keys, and an ssh -D connected
// to it.
func startSSH(ctx context.Context, w *world, l role.Link, _ bool, r *run) error {
	dir := filepath.Join(w.dir, "ssh")
	if err := sshKeys(ctx, dir); err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	if os.Getuid() == 0 {
		os.MkdirAll("/run/sshd", 0o755) // sshd needs it when run as root
	}
	at := r.far.freeAddr()
	config := fmt.Sprintf(`ListenAddress %s
HostKey %s/host
AuthorizedKeysFile %[2]s/user.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding yes
UseDNS no
Compression no
Ciphers aes128-gcm@openssh.com
LogLevel ERROR
`, at, dir)
	file := filepath.Join(dir, "sshd_config-"+filepath.Base(at))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	sshd, err := find("sshd")
	if err != nil {
		return err
	}
	p, err := startProcess(r.far, w.dir, "sshd", sshd, "-D", "-e", "-f", file)
	if err != nil {
		return err
	}
	r.add(p, true)
	if err := p.listening(ctx, at); err != nil {
		return err
	}
	if at, err = r.line(ctx, w, l, at); err != nil {
		return err
	}
	host, port, err := splitAddr(at)
	if err != nil {
		return err
	}
	ssh, err := find("ssh")
	if err != nil {
		return err
	}
	r.dialer.Proxy = role.FreeAddr()
	args := []string{ssh, "-F", "none", "-N", "-D", r.dialer.Proxy, "-p", port, "-i", filepath.Join(dir, "user"), "-l", me.Username}
	for _, o := range []string{"BatchMode=yes", "IdentitiesOnly=yes", "Ciphers=aes128-gcm@openssh.com", "Compression=no",
		"StrictHostKeyChecking=yes", "HostKeyAlias=bench", "UserKnownHostsFile=" + filepath.Join(dir, "known"),
		"ExitOnForwardFailure=yes", "LogLevel=ERROR", "ConnectTimeout=10"} {
		args = append(args, "-o", o)
	}
	p, err = startProcess(r.near, w.dir, "ssh", append(args, host)...)
	if err != nil {
		return err
	}
	r.add(p, true)
	return p.listening(ctx, r.dialer.Proxy)
}
