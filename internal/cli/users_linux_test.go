package cli

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tunnels/internal/users"
)

// pty opens a terminal: bytes written to master are typed at slave.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals on this system: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals on this system: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// TestUsersAddTyped: a typed password is prompted for twice and never shown.
func TestUsersAddTyped(t *testing.T) {
	for _, tt := range []struct {
		typed, want string // want: part of the error, or empty for success
	}{
		{"s3cret s3cret\ns3cret s3cret\n", ""},
		{"s3cret\nother\n", "differ"},
		{"\n", "no password"},
	} {
		file := t.TempDir() + "/users"
		master, slave := pty(t)
		var stdout, stderr bytes.Buffer
		done := make(chan error, 1)
		go func() {
			done <- run(context.Background(), []string{"users", "add", file, "alice"}, nil, slave, &stdout, &stderr)
		}()
		for line := range strings.Lines(tt.typed) {
			waitAsked(t, slave, done)
			if _, err := master.WriteString(line); err != nil {
				t.Fatal(err)
			}
		}
		err := <-done
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("typed %q: %v, want %q", tt.typed, err, tt.want)
		}
		names, _ := users.List(file) // after an error there is no file
		if (len(names) == 1) != (tt.want == "") {
			t.Errorf("typed %q: users %q", tt.typed, names)
		}
		if out := stdout.String() + stderr.String(); strings.Contains(out, "s3cret") || !strings.Contains(out, "Password for alice: ") {
			t.Errorf("typed %q: output %q", tt.typed, out)
		}
	}
}

// waitAsked waits until echo is off and all earlier input has been read.
func waitAsked(t *testing.T, slave *os.File, done chan error) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		state, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		left, err := unix.IoctlGetInt(int(slave.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		if state.Lflag&unix.ECHO == 0 && left == 0 {
			return
		}
		if len(done) > 0 || time.Now().After(end) {
			t.Fatal("there was no password prompt with echo turned off")
		}
		time.Sleep(time.Millisecond)
	}
}
