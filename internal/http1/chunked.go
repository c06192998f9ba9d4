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
	chunkLineMax = 4000     // a chunk's size and extensions; fits the default buffer of a bufio.Reader
	excessMax    = 16 << 10 // maximum bytes of extensions beyond an allowance that grows with the data
	trailersMax  = 64 << 10
	// chunkSizeBits limits a chunk's size. No server sends chunks of an exbibyte or
	// more, and Go's own reader, which the application may use, miscounts sizes from
	// 2^62 up.
	chunkSizeBits = 60
)

// Chunked is a chunked body (RFC 9112 section 7.1). Reading may continue after a
// timeout on the connection; no data is lost. It is owned by its reader.
type Chunked struct {
	// Trailers holds the fields after the last chunk. It is complete once Read has
	// returned io.EOF.
	Trailers []Field

	r      *bufio.Reader
	strict bool
	state  chunkState
	size   []byte // size of the current chunk, as received
	left   uint64 // bytes left in the current chunk
	begun  bool   // AppendPiece has written the current chunk's size
	excess int    // bytes of extensions beyond the allowance
	head   int    // bytes of trailers so far
	err    error  // returned by every further Read; nil until an error occurs
}

type chunkState uint8

const (
	chunkSize chunkState = iota // the part to read next
	chunkData
	chunkEnd
	chunkTrailers
)

// NewChunked returns the body at the start of r. If strict, as for a request, it
// rejects lines that do not end in CR LF, control characters, and trailers that are not
// fields. Otherwise it accepts everything curl accepts.
func NewChunked(r *bufio.Reader, strict bool) *Chunked { return &Chunked{r: r, strict: strict} }

// Read implements io.Reader. It returns bytes from one chunk.
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

// readSize reads the line before a chunk.
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
		return malformed("the size of a chunk is not a number, or is too large")
	case c.strict && len(rest) > 0 && rest[0] != ';':
		return malformed("the size of a chunk is followed by something that is not an extension")
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

// readTrailer reads a line after the last chunk. An empty line ends the body.
func (c *Chunked) readTrailer() (done bool, err error) {
	line, err := c.line()
	if err == io.EOF && !c.strict { // only the very last LF is missing, which curl tolerates
		here, _ := c.r.Peek(c.r.Buffered())
		return string(here) == "\r", err
	}
	if err != nil || len(line) == 0 {
		return err == nil, err
	}
	f := newField(bytes.Clone(line))
	switch c.head += len(line); {
	case c.head > trailersMax || len(c.Trailers) == answerLinesMax:
		return false, malformed("its trailers are too long")
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

// line returns the next line, without its line ending, once it is complete. The slice
// is valid until the next method call.
func (c *Chunked) line() ([]byte, error) {
	for n := 1; ; n = c.r.Buffered() + 1 {
		if n > chunkLineMax {
			return nil, malformed("a line between its chunks is too long")
		}
		here, err := c.r.Peek(n)
		if err == nil {
			here, err = c.r.Peek(c.r.Buffered())
		}
		if i := bytes.IndexByte(here, '\n'); i >= 0 {
			_, _ = c.r.Discard(i + 1) // cannot fail: that many are buffered
			return c.cleaned(here[:i+1])
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, malformed("a line between its chunks is too long")
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
		return nil, malformed("a line between its chunks does not end in CR LF, or contains control characters")
	}
	return line[:len(s)], nil
}

// Ready implements Body.
func (c *Chunked) Ready() bool {
	here, _ := c.r.Peek(c.r.Buffered()) // cannot fail: that many are buffered
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
	case bytes.HasPrefix(size, []byte("0")): // most likely the last chunk
		return bytes.Contains(data, []byte("\n"))
	default:
		return len(data) > 0
	}
}

// AppendPiece appends piece, the bytes returned by the last Read, with their framing.
// It preserves the chunks, but not their extensions.
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
