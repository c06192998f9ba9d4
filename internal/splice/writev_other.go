//go:build unix && !linux && !darwin

package splice

import "syscall"

// writev writes the pieces, with one system call each.
func writev(fd int, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		m, err := syscall.Write(fd, p)
		n += max(m, 0)
		if m < len(p) || err != nil {
			if n > 0 { // the next call returns the error, unless the buffer was merely full
				return n, nil
			}
			return 0, err
		}
	}
	return n, nil
}
