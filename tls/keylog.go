package tls

import (
	"fmt"
	"io"
	"os"
)

// keyLogEnv names the file that receives the keys of every conn, in the format of
// Wireshark and NSS. Anyone who can read that file can decrypt the traffic.
const keyLogEnv = "SSLKEYLOGFILE"

// keyLog appends to a file that is opened for each line: a few lines per conn while
// debugging do not justify an open file that must be closed.
type keyLog string

// newKeyLog returns the key log writer that the environment asks for, or nil.
func newKeyLog(hooks *Hooks) io.Writer {
	file := os.Getenv(keyLogEnv)
	if file == "" {
		return nil
	}
	if _, err := keyLog(file).Write(nil); err != nil {
		hooks.warning(fmt.Sprintf("%s: session keys cannot be written: %v", keyLogEnv, err))
		return nil
	}
	hooks.warning(fmt.Sprintf("%s is set: THE KEYS OF EVERY CONN ARE WRITTEN TO %s; anyone who can read that file can decrypt all traffic", keyLogEnv, file))
	return keyLog(file)
}

// Write appends p in one system call, so that lines from different conns do not
// interleave.
func (k keyLog) Write(p []byte) (int, error) {
	f, err := os.OpenFile(string(k), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(p)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return n, err
}
