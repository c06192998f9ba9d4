package httpdoor

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
)

const (
	requestHeadMax   = 64 << 10  // request line and fields
	requestFieldsMax = 256       // fields of a request: small ones take many times their size
	answerHeadMax    = 384 << 10 // as Firefox, which takes the largest
	blankMax         = 4         // empty lines before a head: some old clients end a body with one
)

// wire is what is read from one end that speaks HTTP. Owned by who reads.
type wire struct {
	*bufio.Reader
	src *rewinder
}

func newWire(r io.Reader, back []byte) wire {
	src := &rewinder{r: r, back: back}
	return wire{bufio.NewReader(src), src}
}

// rewinder reads what was read before it existed, and then reads on.
type rewinder struct {
	r    io.Reader
	back []byte
	err  error // the last error of r since the last head was asked for
}

// Read implements io.Reader.
func (s *rewinder) Read(p []byte) (int, error) {
	if len(s.back) > 0 {
		n := copy(p, s.back)
		if s.back = s.back[n:]; len(s.back) == 0 {
			s.back = nil // lets go of its memory
		}
		return n, nil
	}
	n, err := s.r.Read(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// ready is how many bytes are here already.
func (w wire) ready() int { return w.Buffered() + len(w.src.back) }

// take is all that is here already; Read does not return it any more.
func (w wire) take() []byte {
	ahead, _ := w.Peek(w.Buffered()) // cannot fail: that much is there
	b := append(append([]byte(nil), ahead...), w.src.back...)
	w.src.back = nil
	w.Reset(w.src)
	return b
}

// head reads a whole head. Each of its lines is given to take, with its end of line, as
// soon as it is there; the empty one at its end is not. The error is io.EOF if not a
// byte came. A strict one, as that of a request, ends with CR LF alone in its line; some
// servers write more CRs, or none.
func (w wire) head(limit int, strict bool, take func(line []byte) error) error {
	w.src.err = nil
	var line []byte
	size, blanks, begun := 0, 0, false
	for {
		piece, err := w.ReadSlice('\n')
		line = append(line, piece...)
		size += len(piece)
		switch {
		case size > limit:
			return &requestError{http.StatusRequestHeaderFieldsTooLarge, "the head is longer than is possible"}
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && size > 0:
			return cutShort(err)
		case err != nil:
			return err
		case begun && (string(line) == "\r\n" || !strict && blank(line)):
			return nil
		case !begun && blank(line):
			if blanks++; blanks > blankMax {
				return badRequest("it begins with empty lines")
			}
			size = 0
		default:
			begun = true
			if err := take(line); err != nil {
				return err
			}
		}
		line = line[:0]
	}
}

func blank(line []byte) bool { return len(bytes.TrimLeft(line, "\r")) == 1 }

// requestError is why a request is not forwarded, as the application is told.
type requestError struct {
	status int
	text   string
}

// Error implements error.
func (e *requestError) Error() string { return e.text }

func badRequest(text string) *requestError { return &requestError{http.StatusBadRequest, text} }
