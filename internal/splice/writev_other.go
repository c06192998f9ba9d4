//go:build unix && !linux && !darwin

package splice

import "syscall"

// writev writes the pieces, each with a system call of its own.
func writev(fd int, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		m, err := syscall.Write(fd, p)
		n += max(m, 0)
		if m < len(p) || err != nil {
			if n > 0 { // it will be told again, or was only that no more fits
				return n, nil
			}
			return 0, err
		}
	}
	return n, nil
}
