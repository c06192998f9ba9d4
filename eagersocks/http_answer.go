package eagersocks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"tunnels/internal/code"
)

// interimMax is how many 1xx answers a request may get.
const interimMax = 64

// readAnswer waits for the head of the next answer. What is wrong with it is an error
// with code.Protocol.
func readAnswer(w wire, method string) (*http.Response, error) {
	none := func([]byte) error { return nil }
	if err := w.head(answerHeadMax, none); err != nil {
		if e, ok := errors.AsType[*webError](err); ok {
			err = &code.Error{Code: code.Protocol, Text: "answer is malformed: " + e.text}
		}
		return nil, err
	}
	resp, err := http.ReadResponse(w.Reader, &http.Request{Method: method})
	if err != nil {
		return nil, malformed("answer is malformed: %v", err)
	}
	if resp.StatusCode < 100 || resp.ProtoMajor != 1 {
		return nil, malformed("answer is malformed: status %d of %s", resp.StatusCode, resp.Proto)
	}
	for name, values := range resp.Header {
		for _, v := range values {
			if !isToken(name) || !isFieldValue(v) {
				return nil, malformed("answer is malformed: field %q", name)
			}
		}
	}
	return resp, nil
}

// appendStatus appends an answer's first line.
func appendStatus(b []byte, resp *http.Response) []byte {
	_, reason, _ := strings.Cut(resp.Status, " ")
	if !isFieldValue(reason) {
		reason = http.StatusText(resp.StatusCode)
	}
	return fmt.Appendf(b, "HTTP/1.1 %03d %s\r\n", resp.StatusCode, reason)
}

// appendFields appends the fields of an answer that are not about its connection.
func appendFields(b []byte, h http.Header) []byte {
	drop := dropped(h["Connection"])
	for _, name := range sortedNames(h) {
		if drop(name) {
			continue
		}
		for _, v := range h[name] {
			b = appendField(b, name, v)
		}
	}
	return b
}

// appendInterim appends a 1xx answer.
func appendInterim(b []byte, resp *http.Response) []byte {
	return append(appendFields(appendStatus(b, resp), resp.Header), "\r\n"...)
}

// delivery is an answer on its way to the application.
type delivery struct {
	*exchange
	resp    *http.Response
	body    io.Reader // nil: it has none
	chunked bool      // as the application gets it
	close   bool      // its connection ends with the answer
}

// deliver passes on the answer, and says whether a further request can be taken.
func (x *exchange) deliver(resp *http.Response) (more bool, err error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return x.switchOver(resp)
	}
	d := &delivery{exchange: x, resp: resp, body: resp.Body, close: x.r.closes() || !x.taken.Load() || x.w.isDraining()}
	if resp.Body == http.NoBody || x.r.method == http.MethodHead {
		d.body = nil
	}
	if d.body != nil && resp.ContentLength < 0 {
		d.chunked = x.r.modern()
	}
	if err := d.copy(); err != nil {
		x.t.abort()
		x.stop()
		if x.gone != nil {
			err = begun(x.gone)
		}
		return false, err
	}
	declined := x.r.waits() && !x.invited && !x.begun.Load() // then no body is to come
	if !declined && !resp.Close {                            // it reads on, though it has answered
		x.rest()
	}
	x.stop()
	switch keep := x.whole && !x.half && !resp.Close && !x.r.closes() && x.t.in.ready() == 0; {
	case x.gone != nil:
		return false, begun(x.gone)
	case keep:
		x.w.kept.put(x.t)
	default:
		_ = x.t.Close()
	}
	return !d.close, nil
}

// begun is err where there is no place any more for a page that says it.
func begun(err error) error {
	if e, ok := errors.AsType[*webError](err); ok {
		return malformed("request is malformed: %s", e.text)
	}
	return err
}

// appendHead appends the head as the application gets it.
func (d *delivery) appendHead(b []byte) []byte {
	b = appendFields(appendStatus(b, d.resp), d.resp.Header)
	length := d.resp.Header["Content-Length"]
	switch {
	case d.chunked:
		b = appendField(b, "Transfer-Encoding", "chunked")
		b = appendAnnounced(b, d.resp.Trailer)
	case d.body != nil && d.resp.ContentLength >= 0:
		b = appendField(b, "Content-Length", strconv.FormatInt(d.resp.ContentLength, 10))
	case d.body == nil && d.resp.StatusCode != http.StatusNoContent && len(length) > 0:
		b = appendField(b, "Content-Length", length[0])
	}
	if d.close {
		b = appendField(b, "Connection", "close")
	}
	return append(b, "\r\n"...)
}

// copy writes the answer as it comes. What is here already goes together with the
// head.
func (d *delivery) copy() error {
	b := d.appendHead(nil)
	if d.body == nil {
		return d.write(b)
	}
	if !d.chunked && d.resp.ContentLength < 0 { // its end is that of the connection:
		_ = d.w.conn.SetLinger(0) // which must be no clean one if this process is killed
		defer func() { _ = d.w.conn.SetLinger(-1) }()
	}
	if !d.bodyHere() {
		if err := d.write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	buf := d.w.front.buffers.Get().(*[webBufferMax]byte)
	defer d.w.front.buffers.Put(buf)
	for {
		n, err := d.body.Read(buf[:])
		switch {
		case n > 0 && d.chunked:
			b = fmt.Appendf(b, "%x\r\n", n)
			b = append(append(b, buf[:n]...), "\r\n"...)
		case n > 0:
			b = append(b, buf[:n]...)
		}
		if err == io.EOF && d.chunked {
			b = appendTrailers(b, d.resp.Trailer)
		}
		if werr := d.write(b); werr != nil {
			return werr
		}
		b = b[:0]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the answer of %v: %w", d.r.target, err)
		}
	}
}

// bodyHere says whether reading the body would not wait.
func (d *delivery) bodyHere() bool {
	here, _ := d.t.in.Peek(d.t.in.Buffered()) // cannot fail: that much is there
	if len(d.resp.TransferEncoding) == 0 {
		return len(here) > 0
	}
	i := bytes.IndexByte(here, '\n') // of the first chunk's head; then its data, or an empty line
	return i >= 0 && len(here) > i+2
}

func (d *delivery) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := d.w.conn.Write(b); err != nil {
		return gone(err)
	}
	return nil
}

// switchOver goes on in the protocol that both ends have agreed upon (RFC 9110
// section 7.8).
func (x *exchange) switchOver(resp *http.Response) (more bool, err error) {
	protocol := resp.Header.Get("Upgrade")
	if x.stop(); !x.whole || x.r.upgrade() == "" || protocol == "" {
		x.t.abort()
		return x.w.say(x.r, x.w.failed(x.r, malformed("it changes to a protocol that nobody asked for")))
	}
	if x.gone != nil {
		return false, x.gone
	}
	b := appendFields(appendStatus(nil, resp), resp.Header)
	b = appendField(appendField(b, "Connection", "Upgrade"), "Upgrade", protocol)
	b = append(append(b, "\r\n"...), x.t.in.take()...)
	if _, err := x.w.conn.Write(b); err != nil {
		x.t.abort()
		return false, gone(err)
	}
	x.w.conn.early = x.w.in.take()
	return false, x.w.join(x.t.Conn)
}
