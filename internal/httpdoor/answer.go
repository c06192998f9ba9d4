package httpdoor

import (
	"errors"
	"net/http"
	"strings"

	"tunnels/internal/http1"
)

// interimMax is the maximum number of 1xx responses to a request.
const interimMax = 64

// response is the head of a response and the framing of its body.
type response struct {
	http1.Answer
	http1.Framing
}

// readAnswer reads the head of the next response. If it is malformed, the error has
// code.Protocol.
func readAnswer(w wire, method string) (*response, error) {
	r := new(response)
	err := w.head(answerHeadMax, false, r.AddLine)
	if err == nil {
		r.Framing, err = r.Answer.Framing(method)
	}
	if e, ok := errors.AsType[*requestError](err); ok {
		return nil, malformed("response is malformed: %s", e.text)
	}
	if http1.IsMalformed(err) {
		return nil, malformed("response is malformed: %v", err)
	}
	return r, err
}

// appendInterim appends a 1xx response.
func appendInterim(b []byte, r *response) []byte {
	b = r.AppendStatus(b)
	drop := droppedOfAnswer(r.All("Connection"))
	for _, f := range r.Fields {
		if !drop(f.Name) {
			b = f.AppendTo(b)
		}
	}
	return append(b, "\r\n"...)
}

// deliver forwards the response, and reports whether the connection can be used for
// another request.
func (x *exchange) deliver(resp *response) (more bool, err error) {
	if resp.Status == http.StatusSwitchingProtocols {
		return x.switchOver(resp)
	}
	d := newDelivery(x, resp)
	if err := d.copy(); err != nil {
		x.t.abort()
		x.stop()
		if x.gone != nil {
			err = begun(x.gone)
		}
		return false, err
	}
	declined := x.r.waits() && !x.invited && !x.begun.Load() // in that case no body follows
	if !declined && !resp.Final {                            // the target has responded but is still reading
		x.rest()
	}
	x.stop()
	switch keep := x.whole && !x.half && !resp.Final && !x.r.closes() && x.t.in.ready() == 0; {
	case x.gone != nil:
		return false, begun(x.gone)
	case keep:
		x.w.kept.put(x.t)
	default:
		x.w.kept.drop(x.t)
	}
	return !d.close, nil
}

// begun converts err for use after the response has begun, when an error page can no
// longer be sent.
func begun(err error) error {
	if e, ok := errors.AsType[*requestError](err); ok {
		return malformed("request is malformed: %s", e.text)
	}
	return err
}

// switchOver continues in the protocol both ends have agreed on (RFC 9110 section 7.8).
func (x *exchange) switchOver(resp *response) (more bool, err error) {
	if x.stop(); !x.whole || x.r.upgrade() == "" || len(resp.All("Upgrade")) == 0 {
		x.t.abort()
		return x.w.say(x.r, x.w.failed(x.r, malformed("it switched to a protocol that was not requested")))
	}
	if x.gone != nil {
		return false, x.gone
	}
	b := resp.AppendStatus(nil)
	drop := droppedOfAnswer(nil)
	for _, f := range resp.Fields {
		if !drop(f.Name) || strings.EqualFold(f.Name, "Upgrade") {
			b = f.AppendTo(b)
		}
	}
	b = appendField(b, "Connection", "Upgrade")
	b = append(append(b, "\r\n"...), x.t.in.take()...)
	if _, err := x.w.Conn.Write(b); err != nil {
		x.t.abort()
		return false, gone(err)
	}
	x.w.Conn.SetEarly(x.w.in.take())
	return false, x.w.join(x.t.Conn)
}
