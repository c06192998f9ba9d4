package httpdoor

import (
	"io"
	"net/http"
	"time"
)

// refusesExpect reports whether the target wants the request without its Expect (RFC
// 9110 section 10.1.1), and that is possible because the application is still waiting.
func (x *exchange) refusesExpect(resp *response) bool {
	return resp.Status == http.StatusExpectationFailed && x.r.waits() && x.r.expectsOnly() && !x.invited && !x.begun.Load()
}

// dropExpect tells the application to send its body, so that the request can be sent
// again without Expect. This is not left to the application: after a 417, its next
// bytes could be the body or the request again. It returns false if the body has begun.
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
