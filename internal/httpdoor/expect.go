package httpdoor

import (
	"io"
	"net/http"
	"time"
)

// refusesExpect reports whether the target rejected the request because of its Expect
// (RFC 9110 section 10.1.1) and the application is still waiting, so that the request
// can be sent again without Expect.
func (x *exchange) refusesExpect(resp *response) bool {
	return resp.Status == http.StatusExpectationFailed && x.r.waits() && x.r.expectsOnly() && !x.invited && !x.begun.Load()
}

// dropExpect requests the body from the application, so that the request can be sent
// again without Expect. Forwarding the 417 instead would be ambiguous: the
// application's next bytes could be either the body or the repeated request. dropExpect
// returns false if the application has already begun to send the body.
func (x *exchange) dropExpect() (again bool, err error) {
	_ = x.w.Conn.SetReadDeadline(time.Unix(1, 0))
	select {
	case <-x.sent:
	case <-time.After(lastPieceMax): // the target is not reading
		x.t.abort()
		<-x.sent
	}
	_ = x.w.Conn.SetReadDeadline(time.Time{})
	switch {
	case x.gone != nil:
		x.w.kept.drop(x.t)
		return false, x.gone
	case x.begun.Load():
		return false, nil
	}
	x.w.kept.drop(x.t)
	x.w.in.src.err = nil
	x.r.noExpect = true
	if _, err := io.WriteString(x.w.Conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
		return false, gone(err)
	}
	return true, nil
}
