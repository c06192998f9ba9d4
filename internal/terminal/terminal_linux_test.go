package terminal

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long to wait for an expected event on a busy machine.
const patience = 20 * time.Second

// pty opens a pseudo-terminal: bytes written to master are input to slave.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals on this system: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals on this system: %v", err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals on this system: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return s.Lflag&unix.ECHO != 0
}

// waitSilent waits until echo is off.
func waitSilent(t *testing.T, f *os.File) {
	t.Helper()
	end := time.Now().Add(patience)
	for echoes(t, f) {
		if time.Now().After(end) {
			t.Fatal("input is still echoed")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestReadPassword(t *testing.T) {
	master, slave := pty(t)
	if !Is(slave) {
		t.Error("Is(terminal) = false")
	}
	var said bytes.Buffer
	type result struct {
		password string
		err      error
	}
	done := make(chan result, 1)
	read := func() {
		p, err := ReadPassword(slave, &said, "Password: ")
		done <- result{p, err}
	}
	go read()
	waitSilent(t, slave)
	if _, err := master.WriteString("s3cret with blanks \n"); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.password != "s3cret with blanks " || r.err != nil {
		t.Errorf("ReadPassword = %q, %v", r.password, r.err)
	}
	if !echoes(t, slave) {
		t.Error("the terminal no longer echoes input")
	}
	if got := said.String(); got != "Password: \n" {
		t.Errorf("the output is %q", got)
	}

	// Ctrl-C reaches the process as SIGINT.
	go read()
	waitSilent(t, slave)
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if r := <-done; !errors.Is(r.err, ErrInterrupted) || r.password != "" {
		t.Errorf("after Ctrl-C: %q, %v", r.password, r.err)
	}
	if !echoes(t, slave) {
		t.Error("after Ctrl-C the terminal no longer echoes input")
	}
	if _, err := master.WriteString("\n"); err != nil { // ends the read that is still running
		t.Fatal(err)
	}
}

func TestIsNot(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if Is(null) || Is(strings.NewReader("x")) {
		t.Error("Is returns true for something other than a terminal")
	}
}
