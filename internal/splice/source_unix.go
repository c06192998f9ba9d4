//go:build unix

package splice

import (
	"io"
	"net"
	"os"
	"syscall"
)

// rawReads says whether sockets can be read and written by system calls that do
// not block.
const rawReads = true

// nextRaw reads from the socket itself. It costs the same system calls as
// conn.Read, and parks without a buffer.
func (s *source) nextRaw() ([]byte, error) {
	s.n, s.err = 0, nil
	if err := s.raw.Read(s.try); err != nil {
		return nil, err // closed, or past its deadline
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

// tryRead reads what is there; false asks to be called again when there is more.
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

// tryWrite writes what the socket takes at once: one piece behind the other, as
// the application of a socket that is written to in many small pieces is woken
// for each of them.
func tryWrite(raw syscall.RawConn, pieces [][]byte) (n int, err error) {
	cerr := raw.Write(func(fd uintptr) bool {
		for {
			if n, err = writev(int(fd), pieces); err != syscall.EINTR {
				return true
			}
		}
	})
	switch {
	case cerr != nil: // closed here
		return 0, cerr
	case err == syscall.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("write", err)
	}
	return n, nil
}
