package eagersocks

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"tunnels/internal/appconn"
	"tunnels/internal/code"
	"tunnels/internal/door"
	"tunnels/internal/splice"
)

// NewListener returns a Listener for the exit, which reads requests from the connections
// that a accepts. Connections are handed over unwrapped, with all bytes after the
// request unread. A connection is reset if its request is malformed, or incomplete after
// RequestTimeout. Closing the Listener closes a.
func (c *Config) NewListener(a Acceptor) Listener {
	timeout := c.requestTimeout()
	read := func(conn net.Conn) (net.Conn, *Request, error) {
		req, err := ReadRequest(conn)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = &code.Error{Code: code.Timeout, Text: fmt.Sprintf("no request within %v", timeout)}
			}
			resetFor(conn, err)
			return nil, nil, err
		}
		var dialect appconn.Dialect
		if req.ReplyWanted {
			dialect = socks5Dialect{}
		}
		req.asker = appconn.NewAnswer(conn, dialect)
		return conn, req, nil
	}
	return door.Listen(a, read, c.limits(timeout))
}

// resetFor resets a connection without a valid request, with err's code.
func resetFor(conn net.Conn, err error) {
	if err == io.EOF {
		return // it sent nothing, so a clean close is enough
	}
	why := code.Error{Code: code.Protocol}
	if e, ok := errors.AsType[*code.Error](err); ok {
		why = *e
	}
	splice.Abort(conn, why.Code, why.Text)
}
