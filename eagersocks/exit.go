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

// NewListener takes requests from the connections of a: it is the exit's side.
// A connection is handed over as a gave it, all bytes behind its request unread.
// One whose request is malformed, or has not come after RequestTimeout, is reset.
// Closing the Listener closes a.
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

// resetFor ends a connection that made no request, with the code that err carries.
func resetFor(conn net.Conn, err error) {
	if err == io.EOF {
		return // it went without a word: a clean end is an answer to that
	}
	why := code.Error{Code: code.Protocol}
	if e, ok := errors.AsType[*code.Error](err); ok {
		why = *e
	}
	splice.Abort(conn, why.Code, why.Text)
}
