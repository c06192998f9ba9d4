package remux_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"tunnels/internal/code"
	"tunnels/remux"
)

// In this example, the end that accepted the connection opens a session, and the end that
// dialed responds.
func ExampleConn() {
	a, b := net.Pipe() // any net.Conn works
	dialer := remux.Config{}.NewConn(a, true)
	acceptor := remux.Config{SessMax: -1}.NewConn(b, false) // it accepts no sessions itself

	go func() {
		s, err := dialer.Accept()
		if err != nil {
			return
		}
		defer s.Close()
		request, _ := io.ReadAll(s)
		fmt.Fprintf(s, "you said %q", request)
	}()

	s, err := acceptor.Open(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	io.WriteString(s, "hello")
	s.CloseWrite()
	reply, err := io.ReadAll(s)
	fmt.Println(string(reply), err)

	acceptor.GoAway(code.OK, "") // the conn closes after its last session
	<-dialer.Done()
	<-acceptor.Done()
	// Output: you said "hello" <nil>
}
