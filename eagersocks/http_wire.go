package eagersocks

import (
	"bufio"
	"errors"
	"io"
	"net/http"
)

const (
	requestHeadMax   = 64 << 10  // request line and fields
	requestFieldsMax = 256       // fields of a request: small ones take many times their size
	answerHeadMax    = 256 << 10 // some sites' cookies take more than any browser sends
	blankMax         = 4         // empty lines before a head: some old clients end a body with one
)

// wire is what is read from one end that speaks HTTP. Every head is read twice: as
// it is, to hold it to a limit and to look for what net/http lets pass, and then
// by net/http's parser. Owned by who reads.
type wire struct {
	*bufio.Reader
	src *rewinder
}

func newWire(r io.Reader, back []byte) wire {
	src := &rewinder{r: r, back: back}
	return wire{bufio.NewReader(src), src}
}

// rewinder reads what was pushed back before it reads on.
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

// head waits for a whole head and leaves it to be read once more. Each of its
// lines is shown to look, with its end of line, as soon as it is there. The error is
// io.EOF if not a byte came.
func (w wire) head(limit int, look func(line []byte) error) error {
	var head []byte
	w.src.err = nil
	begin, blanks := 0, 0
	for {
		piece, err := w.ReadSlice('\n')
		head = append(head, piece...)
		switch {
		case len(head) > limit:
			return &webError{http.StatusRequestHeaderFieldsTooLarge, "the head is longer than is possible"}
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && len(head) > 0:
			return cutShort(err)
		case err != nil:
			return err
		}
		line := head[begin:]
		if blank(line) && begin > 0 {
			break
		}
		if blank(line) {
			if blanks++; blanks > blankMax {
				return badRequest("it begins with empty lines")
			}
			head = head[:0]
			continue
		}
		if err := look(line); err != nil {
			return err
		}
		begin = len(head)
	}
	w.src.back = append(head, w.take()...)
	return nil
}

func blank(line []byte) bool { return string(line) == "\n" || string(line) == "\r\n" }

// webError is why a request is not forwarded, as the application is told.
type webError struct {
	status int
	text   string
}

// Error implements error.
func (e *webError) Error() string { return e.text }

func badRequest(text string) *webError { return &webError{http.StatusBadRequest, text} }
