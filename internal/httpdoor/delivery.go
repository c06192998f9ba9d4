package httpdoor

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tunnels/internal/http1"
)

// delivery is a response being forwarded to the application.
type delivery struct {
	*exchange
	resp  *response
	body  http1.Body     // nil if the response has none
	form  bodyForm       // how the body is framed for the application
	parts *http1.Chunked // body if it is chunked, else nil
	close bool           // the application's connection ends after the response
}

// bodyForm is the framing of a body.
type bodyForm uint8

const (
	asIs     bodyForm = iota // by its length or by the end of the connection
	asChunks                 // in the target's chunks
	chunked                  // in new chunks
)

// newDelivery decides how to frame resp for the application. It preserves the target's
// framing if the application's HTTP version allows that, but sends a body that ends
// with its connection in chunks, so that the application's connection can be reused and
// truncation is detected. It does not add chunks to a response with an odd head,
// because the application may disagree about where the head ends.
func newDelivery(x *exchange, resp *response) *delivery {
	d := &delivery{exchange: x, resp: resp}
	in := x.t.in.Reader
	open := false // the body ends with the connection
	switch modern := x.r.modern(); {
	case !resp.HasBody:
	case resp.Chunked:
		d.parts = http1.NewChunked(in, false)
		d.body = d.parts
		if open = !modern; modern {
			d.form = asChunks
		}
	case resp.Length >= 0:
		d.body = http1.NewFixed(in, resp.Length)
	default:
		d.body = http1.Rest{Reader: in}
		if open = !modern || resp.Odd || len(resp.Codings) > 0 || len(resp.All("Content-Length")) > 0; !open {
			d.form = chunked
		}
	}
	strange := resp.Odd || x.oddInterim || !resp.HasBody && resp.Length > 0 && resp.Status == 204
	d.close = open || strange || x.r.closes() || !x.taken.Load() || x.w.isDraining()
	return d
}

// appendHead appends the head for the application: the target's lines as received,
// without its hop-by-hop fields.
func (d *delivery) appendHead(b []byte) []byte {
	b = d.resp.AppendStatus(b)
	if d.close && d.resp.Odd { // before any line that the application may mistake for the end of the head
		b = appendField(b, "Connection", "close")
	}
	drop := droppedOfAnswer(d.resp.All("Connection"))
	framed := false // the field that frames the body has been written
	for _, f := range d.resp.Fields {
		switch name := strings.ToLower(f.Name); {
		case name == "content-length" && !framed && d.keepsLength():
			b, framed = d.appendLength(b, f)
		case name == "transfer-encoding" && !framed && d.keepsCodings():
			b, framed = d.appendCodings(b, f)
		case name == "trailer" && d.form == asChunks, !drop(name):
			b = f.AppendTo(b)
		}
	}
	if d.form == chunked {
		b = appendField(b, "Transfer-Encoding", "chunked")
	}
	if d.close && !d.resp.Odd {
		b = appendField(b, "Connection", "close")
	}
	return append(b, "\r\n"...)
}

// keepsLength reports whether to forward the length, which is meaningless if there are
// transfer codings.
func (d *delivery) keepsLength() bool { return !d.resp.Chunked && len(d.resp.Codings) == 0 }

// keepsCodings reports whether to forward the transfer codings, which the application
// must be able to decode.
func (d *delivery) keepsCodings() bool {
	return d.form == asChunks || d.form == asIs && d.body != nil && len(d.resp.Codings) > 0 && d.r.modern()
}

// appendLength appends the length only once, even if the target repeated it.
func (d *delivery) appendLength(b []byte, f http1.Field) ([]byte, bool) {
	lengths := d.resp.All("Content-Length")
	if len(lengths) == 1 && strings.Trim(lengths[0], "0123456789") == "" || d.resp.Length < 0 {
		return f.AppendTo(b), len(lengths) == 1
	}
	return appendField(b, f.Name, strconv.FormatInt(d.resp.Length, 10)), true
}

// appendCodings appends the transfer codings as a single field, with chunked last and
// without identity.
func (d *delivery) appendCodings(b []byte, f http1.Field) ([]byte, bool) {
	want := slices.Clone(d.resp.Codings)
	if d.resp.Chunked {
		want = append(want, "chunked")
	}
	if said := http1.Tokens(d.resp.All("Transfer-Encoding")); slices.Equal(said, want) && len(d.resp.All("Transfer-Encoding")) == 1 {
		return f.AppendTo(b), true
	}
	return appendField(b, f.Name, strings.Join(want, ", ")), true
}

// copy forwards the response as it arrives. If part of the body has already arrived, it
// is sent together with the head.
func (d *delivery) copy() error {
	b := d.appendHead(nil)
	if d.body == nil {
		return d.write(b)
	}
	if d.form == asIs && (d.parts != nil || d.resp.Length < 0) { // if the body ends with the connection and
		_ = d.w.Conn.SetLinger(0) // this process is killed, the kernel must send a reset, not a clean end
		defer func() { _ = d.w.Conn.SetLinger(-1) }()
	}
	if !d.body.Ready() {
		if err := d.write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	buf := d.w.front.buffers.Get().(*[bufferMax]byte)
	defer d.w.front.buffers.Put(buf)
	for {
		n, err := d.body.Read(buf[:])
		if n > 0 {
			b = d.appendPiece(b, buf[:n])
		}
		if err == nil && len(b) < bufferMax/2 && d.body.Ready() {
			continue
		}
		if err == io.EOF {
			b = d.appendEnd(b)
		}
		if werr := d.write(b); werr != nil {
			return werr
		}
		b = b[:0]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the response from %v: %w", d.r.target, err)
		}
	}
}

// appendPiece appends a piece of the body in the application's framing.
func (d *delivery) appendPiece(b, piece []byte) []byte {
	switch d.form {
	case asChunks:
		return d.parts.AppendPiece(b, piece)
	case chunked:
		b = fmt.Appendf(b, "%x\r\n", len(piece))
		return append(append(b, piece...), "\r\n"...)
	}
	return append(b, piece...)
}

// appendEnd appends the end of the body.
func (d *delivery) appendEnd(b []byte) []byte {
	switch d.form {
	case asChunks:
		drop := droppedOfAnswer(d.resp.All("Connection"))
		return appendTrailers(b, d.parts.Trailers, func(name string) bool { return !drop(name) })
	case chunked:
		return append(b, "0\r\n\r\n"...)
	}
	return b
}

func (d *delivery) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := d.w.Conn.Write(b); err != nil {
		return gone(err)
	}
	return nil
}
