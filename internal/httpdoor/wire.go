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
	requestFieldsMax = 256       // maximum header fields per request; small fields take up many times their size in memory
	answerHeadMax    = 384 << 10 // the same as Firefox, which allows the most
	blankMax         = 4         // empty lines allowed before a head: some old clients end a body with one
)

// wire reads from one HTTP peer. It is owned by the reading goroutine.
type wire struct {
	*bufio.Reader
	src *rewinder
}

func newWire(r io.Reader, back []byte) wire {
	src := &rewinder{r: r, back: back}
	return wire{bufio.NewReader(src), src}
}

// rewinder returns the bytes in back first, then reads from r.
type rewinder struct {
	r    io.Reader
	back []byte
	err  error // last error from r since the most recent call to head
}

// Read implements io.Reader.
func (s *rewinder) Read(p []byte) (int, error) {
	if len(s.back) > 0 {
		n := copy(p, s.back)
		if s.back = s.back[n:]; len(s.back) == 0 {
			s.back = nil // release its memory
		}
		return n, nil
	}
	n, err := s.r.Read(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// ready returns how many bytes can be read without waiting.
func (w wire) ready() int { return w.Buffered() + len(w.src.back) }

// take removes and returns all bytes that can be read without waiting.
func (w wire) take() []byte {
	ahead, _ := w.Peek(w.Buffered()) // cannot fail: that many are buffered
	b := append(append([]byte(nil), ahead...), w.src.back...)
	w.src.back = nil
	w.Reset(w.src)
	return b
}

// head reads a whole head. It calls take with each line, including its line ending, as
// soon as it arrives, except for the empty line at the end. The error is io.EOF if no
// data was received. In strict mode, used for requests, the head must end with a line
// that is just CR LF; some servers send more CRs, or none.
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
			return &requestError{http.StatusRequestHeaderFieldsTooLarge, "the head is too long"}
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
				return badRequest("it begins with too many empty lines")
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

// requestError explains to the application why its request is not forwarded.
type requestError struct {
	status int
	text   string
}

// Error implements error.
func (e *requestError) Error() string { return e.text }

func badRequest(text string) *requestError { return &requestError{http.StatusBadRequest, text} }
