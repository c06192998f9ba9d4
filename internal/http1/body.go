package http1

import (
	"bufio"
	"io"
)

// Body is the body of a message.
type Body interface {
	io.Reader
	// Ready reports whether Read would return without waiting for the peer.
	Ready() bool
}

// Fixed is a body of known length. If it is truncated, Read returns
// io.ErrUnexpectedEOF.
type Fixed struct {
	r    *bufio.Reader
	left int64
}

// NewFixed returns a body of n bytes read from r.
func NewFixed(r *bufio.Reader, n int64) *Fixed { return &Fixed{r, n} }

// Read implements io.Reader.
func (f *Fixed) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	switch {
	case f.left == 0:
		return n, io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Ready implements Body.
func (f *Fixed) Ready() bool { return f.left == 0 || f.r.Buffered() > 0 }

// Rest is a body that ends with its connection.
type Rest struct{ *bufio.Reader }

// Ready implements Body.
func (r Rest) Ready() bool { return r.Buffered() > 0 }
