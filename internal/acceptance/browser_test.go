//go:build unix

package acceptance

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// resources is the number of resources on the page. A third each are images, scripts
// and style sheets, of sizes from a few bytes to half a megabyte. Only the very end of
// a resource proves that it is complete: an image's last pixel, a script's call, a
// style sheet's rule.
const resources = 100

var page = template.Must(template.New("").Parse(`<!DOCTYPE html><html><head><title>page</title>
<script>window.whole = new Set()</script>
{{range .}}{{if eq .Kind "css"}}<link rel="stylesheet" href="{{.URL}}">
{{else if eq .Kind "js"}}<script src="{{.URL}}" async></script>
{{end}}{{end}}</head><body>
{{range .}}{{if eq .Kind "png"}}<img id="png{{.N}}" src="{{.URL}}" crossorigin="anonymous">
{{else if eq .Kind "css"}}<p id="css{{.N}}">x</p>
{{end}}{{end}}<pre id="verdict">not loaded</pre><script>
addEventListener("load", () => {
  for (const img of document.images) {
    const c = document.createElement("canvas"); c.width = c.height = 1
    const x = c.getContext("2d"); x.drawImage(img, 1 - img.naturalWidth, 1 - img.naturalHeight)
    if (img.naturalWidth && x.getImageData(0, 0, 1, 1).data[1] == 200) whole.add(img.id)
  }
  for (const p of document.querySelectorAll("p"))
    if (getComputedStyle(p).width == "77px") whole.add(p.id)
  document.getElementById("verdict").textContent = "whole: " + whole.size
})
</script></body></html>`))

type resource struct {
	Kind, URL string
	N         int
}

// site serves the page at / and its resources from several origins, because browsers
// open only six connections to each origin.
type site struct {
	mu      sync.Mutex      // guards the fields below
	origins []string        // URLs of the servers
	done    map[string]bool // paths served completely

	name string // host name for the page's URL, or empty to use an address; immutable after creation
}

// listen adds an origin to the site.
func (s *site) listen(t testing.TB, secure bool) string {
	start := func() *httptest.Server { return web(t, s.ServeHTTP) }
	if secure {
		start = func() *httptest.Server { w, _ := webTLS(t, s.ServeHTTP); return w }
	}
	url := start().URL
	if s.name != "" {
		url = strings.Replace(url, "127.0.0.1", s.name, 1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.origins = append(s.origins, url)
	return url
}

func (s *site) page() []resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]resource, resources)
	for n := range all {
		kind := []string{"png", "js", "css"}[n%3]
		all[n] = resource{kind, fmt.Sprintf("%s/r/%d.%s", s.origins[n%len(s.origins)], n, kind), n}
	}
	return all
}

// size returns the approximate size of resource n. Only a few are large, as on real
// pages.
func size(n int) int { return []int{64, 1 << 10, 3000, 16 << 10, 70_000, 200, 5 << 10, 512 << 10}[n%8] }

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		w.Header().Set("Content-Type", "text/html")
		page.Execute(w, s.page())
		return
	}
	ext := path.Ext(r.URL.Path)
	n, err := strconv.Atoi(strings.TrimSuffix(path.Base(r.URL.Path), ext))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	body, kind := content(ext, n)
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "no-store")
	if n%2 == 0 { // the others are chunked
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	half := len(body) / 2
	_, err = w.Write(body[:half])
	http.NewResponseController(w).Flush()
	_, err2 := w.Write(body[half:])
	if cmp.Or(err, err2) == nil {
		s.mu.Lock()
		s.done[r.URL.Path] = true
		s.mu.Unlock()
	}
}

func content(ext string, n int) (body []byte, kind string) {
	pad := fmt.Sprintf("/* %x */\n", noise(size(n)/2))
	switch ext {
	case ".js":
		return fmt.Appendf(nil, "%swhole.add('js%d')\n", pad, n), "text/javascript"
	case ".css":
		return fmt.Appendf(nil, "%s#css%d { width: 77px }\n", pad, n), "text/css"
	}
	side := 1
	for side*side*3 < size(n) {
		side++
	}
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	copy(img.Pix, noise(len(img.Pix)))
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	img.SetRGBA(side-1, side-1, color.RGBA{100, 200, 50, 255})
	var b bytes.Buffer
	png.Encode(&b, img) // writing to memory cannot fail
	return b.Bytes(), "image/png"
}

// browser returns the name of the installed browser.
func browser(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if lookup(name) != "" {
			return name
		}
	}
	need(t, "chromium")
	return ""
}

// wantLoaded loads the site at url in a browser and checks that all its resources are
// complete.
func (s *site) wantLoaded(t *testing.T, url string, proxy ...string) {
	t.Helper()
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-breakpad",
		"--ignore-certificate-errors", "--user-data-dir=" + t.TempDir(), "--dump-dom"}
	begin := time.Now()
	r := job{Limit: 40 * time.Second, Env: []string{"HOME=" + t.TempDir()}}.run(t, browser(t), append(append(args, proxy...), url)...)
	t.Logf("%s: %v", url, time.Since(begin).Round(time.Millisecond))
	if want := fmt.Sprintf("whole: %d<", resources); !strings.Contains(r.Stdout, want) {
		_, verdict, _ := strings.Cut(r.Stdout, "verdict")
		t.Errorf("%s: the page shows %.60q, want %q; stderr: %s", url, verdict, want, tail(r.Stderr))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.done) != resources {
		t.Errorf("%s: the server sent %d of %d resources completely", url, len(s.done), resources)
	}
}

// TestChromium checks that a browser loads all 100 resources of a page.
func TestChromium(t *testing.T) {
	t.Parallel()
	server, client := startPair(t)
	for _, secure := range []bool{false, true} {
		s := &site{done: make(map[string]bool)}
		first := s.listen(t, secure)
		for range 3 {
			s.listen(t, secure)
		}
		s.wantLoaded(t, first+"/", "--proxy-server=socks5://"+client.Addr, "--proxy-bypass-list=<-loopback>")
	}
	client.wantRun("sock", "+", 8)
	server.wantRun("sock", "+", 8)
	client.wantRun("conn", "+", 2) // one conn cannot carry that many sessions
}

// TestChromiumHTTP is TestChromium with the HTTP proxy, and with the PAC URL. The page
// has a host name, because browsers connect to loopback addresses directly.
func TestChromiumHTTP(t *testing.T) {
	t.Parallel()
	names := serveNames(t, "site.test")
	server := startServer(t, "-server.dns=udp://"+names.Addr())
	client := startClient(t, "-server.addr="+server.Addr)
	for _, proxy := range [][]string{
		{"--proxy-server=http://" + client.Addr, "--proxy-bypass-list=<-loopback>"},
		{"--proxy-pac-url=http://" + client.Addr + "/proxy.pac"},
	} {
		for _, secure := range []bool{false, true} {
			s := &site{done: make(map[string]bool), name: "site.test"}
			first := s.listen(t, secure)
			for range 3 {
				s.listen(t, secure)
			}
			s.wantLoaded(t, first+"/", proxy...)
		}
	}
	server.waitLog(`\[sock\] \+ site\.test:`)
	server.wantRun("sock", "+", 16)
}
