package httpdoor

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"tunnels/internal/socksaddr"
)

// TestLargeAnswerHeads checks that the door forwards heads as large as those accepted
// by curl (300 KiB) and Firefox (384 KiB).
func TestLargeAnswerHeads(t *testing.T) {
	for _, tt := range []struct{ fields, size int }{
		{1, 8 << 10}, {1, 60 << 10}, {1, 290 << 10}, {1, 380 << 10},
		{100, 600}, {1000, 290}, {2000, 150}, {10, 38 << 10},
	} {
		t.Run(fmt.Sprintf("%dx%d", tt.fields, tt.size), func(t *testing.T) {
			var cookies strings.Builder
			for i := range tt.fields {
				fmt.Fprintf(&cookies, "Set-Cookie: s%d=%s; Path=/\r\n", i, strings.Repeat("y", tt.size))
			}
			rig := newRig(t, new(Config), func(context.Context, socksaddr.Address) (net.Conn, error) {
				near, far, err := connPair()
				go func() {
					defer far.Close()
					io.ReadFull(far, make([]byte, 30))
					io.WriteString(far, "HTTP/1.1 200 OK\r\n"+cookies.String()+"Content-Length: 2\r\n\r\nok")
					far.(*net.TCPConn).CloseWrite()
					io.Copy(io.Discard, far)
				}()
				return near, err
			})
			got := rig.said(t, lines("GET http://a.test/ HTTP/1.1\nHost: a.test\nConnection: close\n\n"))
			if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, cookies.String()) || !strings.HasSuffix(got, "\r\n\r\nok") {
				t.Errorf("application read %d bytes that begin with %.40q, want 200 with all %d cookies", len(got), got, tt.fields)
			}
		})
	}
}
