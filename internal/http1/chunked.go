package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

const (
	chunkLineMax = 4000     // a chunk's size and extensions; fits into a bufio.Reader of the usual size
	excessMax    = 16 << 10 // bytes of extensions, less a share of the data
	trailersMax  = 64 << 10
	// chunkSizeBits bounds a chunk's size: no server means one beyond an exbibyte, and
	// Go's own reader, which may be the application's, miscounts from a quarter of
	// what 64 bits hold.
	chunkSizeBits = 60
)

// Chunked is a body in chunks (RFC 9112 section 7.1). After an error of the connection
// that is a timeout it can be read on; nothing is lost. Owned by its reader.
type Chunked struct {
	// Trailers are the fields behind the last chunk, once Read has returned io.EOF.
	Trailers []Field

	r      *bufio.Reader
	strict bool
	state  chunkState
	size   []byte // of the current chunk, as it was written
	left   uint64 // of the current chunk
	begun  bool   // AppendPiece has written the current chunk's size
	excess int
	head   int   // bytes of trailers
	err    error // that of every further Read; nil while there are none
}

type chunkState uint8

const (
	chunkSize chunkState = iota // what comes next
	chunkData
	chunkEnd
	chunkTrailers
)

// NewChunked returns the body that r begins with. A strict one, as in a request,
// refuses lines that do not end in CR LF, control characters, and trailers that are
// no fields. Another one takes what curl takes.
func NewChunked(r *bufio.Reader, strict bool) *Chunked { return &Chunked{r: r, strict: strict} }

// Read implements io.Reader. It returns bytes of one chunk.
func (c *Chunked) Read(p []byte) (n int, err error) {
	for c.err == nil {
		switch c.state {
		case chunkSize:
			err = c.readSize()
		case chunkData:
			n, err = c.r.Read(p[:min(uint64(len(p)), c.left)])
			if c.left -= uint64(n); c.left == 0 {
				c.state = chunkEnd
			}
			if n > 0 {
				return n, nil
			}
		case chunkEnd:
			err = c.readEnd()
		case chunkTrailers:
			var done bool
			if done, err = c.readTrailer(); done {
				c.err, err = io.EOF, nil
			}
		}
		switch {
		case err == io.EOF:
			c.err = io.ErrUnexpectedEOF
		case IsMalformed(err):
			c.err = err
		case err != nil:
			return 0, err
		}
	}
	return 0, c.err
}

// readSize reads the line in front of a chunk.
func (c *Chunked) readSize() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	digits := len(line) - len(bytes.TrimLeft(line, "0123456789abcdefABCDEF"))
	size, err := strconv.ParseUint(string(line[:digits]), 16, chunkSizeBits)
	rest := bytes.TrimLeft(line[digits:], " \t")
	c.excess = max(0, c.excess+len(line)+2-16-int(min(2*size, excessMax)))
	switch {
	case err != nil || digits > 16:
		return malformed("the size of a chunk is not a number, or too large for one")
	case c.strict && len(rest) > 0 && rest[0] != ';':
		return malformed("the size of a chunk is followed by what is no extension")
	case c.excess > excessMax:
		return malformed("its chunks have too many extensions")
	}
	c.size, c.left, c.begun, c.state = append(c.size[:0], line[:digits]...), size, false, chunkData
	if size == 0 {
		c.state = chunkTrailers
	}
	return nil
}

func (c *Chunked) readEnd() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	if len(line) > 0 {
		return malformed("a chunk is longer than its size")
	}
	c.state = chunkSize
	return nil
}

// readTrailer reads a line behind the last chunk. It is done when that is the empty one.
func (c *Chunked) readTrailer() (done bool, err error) {
	line, err := c.line()
	if err == io.EOF && !c.strict { // all is there but the very last LF, which curl does not miss
		here, _ := c.r.Peek(c.r.Buffered())
		return string(here) == "\r", err
	}
	if err != nil || len(line) == 0 {
		return err == nil, err
	}
	f := newField(bytes.Clone(line))
	switch c.head += len(line); {
	case c.head > trailersMax || len(c.Trailers) == answerLinesMax:
		return false, malformed("its trailers are longer than is possible")
	case c.strict && !f.isRegular():
		return false, malformed("a trailer is not a header field")
	case isBlank(line[0]):
		if n := len(c.Trailers); n > 0 {
			c.Trailers[n-1].fold(line)
		}
	case f.isRegular():
		c.Trailers = append(c.Trailers, f)
	}
	return false, nil
}

// line takes the next line, without its end, once all of it is there. It is valid
// until the next call of a method.
func (c *Chunked) line() ([]byte, error) {
	for n := 1; ; n = c.r.Buffered() + 1 {
		if n > chunkLineMax {
			return nil, malformed("a line between its chunks is longer than is possible")
		}
		here, err := c.r.Peek(n)
		if err == nil {
			here, err = c.r.Peek(c.r.Buffered())
		}
		if i := bytes.IndexByte(here, '\n'); i >= 0 {
			_, _ = c.r.Discard(i + 1) // cannot fail: that much is there
			return c.cleaned(here[:i+1])
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, malformed("a line between its chunks is longer than is possible")
		case err != nil:
			return nil, err
		}
	}
}

func (c *Chunked) cleaned(line []byte) ([]byte, error) {
	if !c.strict {
		return cleanLine(line), nil
	}
	s, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok || !IsFieldValue(s) {
		return nil, malformed("a line between its chunks does not end in CR LF, or holds control characters")
	}
	return line[:len(s)], nil
}

// Ready implements Body.
func (c *Chunked) Ready() bool {
	here, _ := c.r.Peek(c.r.Buffered()) // cannot fail: that much is there
	if c.state == chunkEnd {
		_, here, _ = bytes.Cut(here, []byte("\n"))
	}
	switch size, data, ok := bytes.Cut(here, []byte("\n")); {
	case c.err != nil:
		return true
	case c.state == chunkData:
		return len(here) > 0
	case c.state == chunkTrailers:
		return ok
	case bytes.HasPrefix(size, []byte("0")): // the last chunk, most likely
		return bytes.Contains(data, []byte("\n"))
	default:
		return len(data) > 0
	}
}

// AppendPiece appends bytes that the last Read returned, with what frames them: the
// chunks stay as they are, but for their extensions.
func (c *Chunked) AppendPiece(b, piece []byte) []byte {
	if !c.begun {
		c.begun = true
		b = append(append(b, c.size...), "\r\n"...)
	}
	b = append(b, piece...)
	if c.left == 0 {
		b = append(b, "\r\n"...)
	}
	return b
}
