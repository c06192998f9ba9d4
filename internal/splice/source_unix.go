//go:build unix

package splice

import (
	"io"
	"net"
	"os"
	"syscall"
)

// rawReads reports whether sockets support non-blocking reads and writes by system
// call.
const rawReads = true

// nextRaw reads directly from the socket. It makes the same system calls as conn.Read,
// but holds no buffer while waiting.
func (s *source) nextRaw() ([]byte, error) {
	s.n, s.err = 0, nil
	if err := s.raw.Read(s.try); err != nil {
		return nil, err // closed or past its deadline
	}
	switch {
	case s.err != nil:
		return nil, &net.OpError{
			Op: "read", Net: s.conn.LocalAddr().Network(),
			Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(),
			Err: os.NewSyscallError("read", s.err),
		}
	case s.n == 0:
		return nil, io.EOF
	}
	s.resize()
	return s.buf.data[:s.n], nil
}

// tryRead reads the available data. If there is none it returns false, so that it is
// called again once the socket is readable.
func (s *source) tryRead(fd uintptr) bool {
	s.hold()
	for {
		s.n, s.err = syscall.Read(int(fd), s.buf.data)
		if s.err != syscall.EINTR {
			break
		}
	}
	if s.err == syscall.EAGAIN {
		s.release()
		return false
	}
	return true
}

// tryWrite writes as much of pieces as the socket accepts without blocking, in one
// system call if possible, because every small write wakes the application.
func tryWrite(raw syscall.RawConn, pieces [][]byte) (n int, err error) {
	cerr := raw.Write(func(fd uintptr) bool {
		for {
			if n, err = writev(int(fd), pieces); err != syscall.EINTR {
				return true
			}
		}
	})
	switch {
	case cerr != nil: // closed locally
		return 0, cerr
	case err == syscall.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("write", err)
	}
	return n, nil
}
