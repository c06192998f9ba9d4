package httpdoor

import (
	"io"
	"net/http"
	"time"
)

// refusesExpect says whether the target wants the request without its Expect
// (RFC 9110 section 10.1.1), and whether that can be: the application still waits.
func (x *exchange) refusesExpect(resp *response) bool {
	return resp.Status == http.StatusExpectationFailed && x.r.waits() && x.r.expectsOnly() && !x.invited && !x.begun.Load()
}

// dropExpect has the application send its body, for the request to be sent once more
// without Expect. It is not left to the application: after 417 nobody could tell
// whether what it sends next is the body, or the request once more. It is false if
// the body has begun.
func (x *exchange) dropExpect() (again bool, err error) {
	_ = x.w.Conn.SetReadDeadline(time.Unix(1, 0))
	select {
	case <-x.sent:
	case <-time.After(lastPieceMax): // the target takes nothing
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
