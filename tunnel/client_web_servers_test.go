package tunnel

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// TestHTTPRetries checks that an idempotent HTTP request is retried at the next server
// when its server dies without answering, and that other requests get 502.
func TestHTTPRetries(t *testing.T) {
	for _, tt := range []struct {
		method, body string
		want         int
		asked        int32
	}{{http.MethodGet, "", 200, 2}, {http.MethodPost, "x", 502, 1}} {
		t.Run(tt.method, func(t *testing.T) {
			t.Parallel()
			v := startCluster(t, "remux", nil)
			var asked atomic.Int32
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if asked.Add(1) == 1 {
					v.servers[0].kill()
					<-r.Context().Done() // wait until the exit notices
					return
				}
				io.WriteString(w, "answer")
			}))
			t.Cleanup(site.Close)
			v.log.Wait(t, "client", "[main] using server "+v.servers[0].relay.Addr)
			tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: v.client.Addr().String()})}
			t.Cleanup(tr.CloseIdleConnections)
			req, err := http.NewRequestWithContext(t.Context(), tt.method, site.URL, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.want || asked.Load() != tt.asked {
				t.Errorf("%s, %v: %q; the target got %d requests, want %d and %d", resp.Status, err, body, asked.Load(), tt.want, tt.asked)
			}
		})
	}
}
