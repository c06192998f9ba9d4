package httpdoor

import (
	"errors"
	"net/http"
	"strings"

	"tunnels/internal/http1"
)

// interimMax is how many 1xx answers a request may get.
const interimMax = 64

// response is the head of an answer, and where its body ends.
type response struct {
	http1.Answer
	http1.Framing
}

// readAnswer waits for the head of the next answer. What is wrong with it is an error
// with code.Protocol.
func readAnswer(w wire, method string) (*response, error) {
	r := new(response)
	err := w.head(answerHeadMax, false, r.AddLine)
	if err == nil {
		r.Framing, err = r.Answer.Framing(method)
	}
	if e, ok := errors.AsType[*requestError](err); ok {
		return nil, malformed("answer is malformed: %s", e.text)
	}
	if http1.IsMalformed(err) {
		return nil, malformed("answer is malformed: %v", err)
	}
	return r, err
}

// appendInterim appends a 1xx answer.
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

// deliver passes on the answer, and says whether a further request can be taken.
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
	declined := x.r.waits() && !x.invited && !x.begun.Load() // then no body is to come
	if !declined && !resp.Final {                            // it reads on, though it has answered
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

// begun is err where there is no place any more for a page that says it.
func begun(err error) error {
	if e, ok := errors.AsType[*requestError](err); ok {
		return malformed("request is malformed: %s", e.text)
	}
	return err
}

// switchOver goes on in the protocol that both ends have agreed upon (RFC 9110
// section 7.8).
func (x *exchange) switchOver(resp *response) (more bool, err error) {
	if x.stop(); !x.whole || x.r.upgrade() == "" || len(resp.All("Upgrade")) == 0 {
		x.t.abort()
		return x.w.say(x.r, x.w.failed(x.r, malformed("it changes to a protocol that nobody asked for")))
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
