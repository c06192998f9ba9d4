package sla

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test vector was computed with an independent implementation.
func TestSign(t *testing.T) {
	const want = "1zJ/w34EOSVAYr7cu7Vo8LnebmK2/GrCgegtr8mQrqM="
	if got := sign("SEC000000000000000000000", "1700000000000"); got != want {
		t.Errorf("sign = %q, want %q", got, want)
	}
	r := robot{url: &url.URL{Scheme: "https", Host: "x", Path: "/send"}, token: "a&b", secret: "SEC000000000000000000000"}
	got := r.address(time.UnixMilli(1700000000000))
	if want := "https://x/send?access_token=a%26b&sign=1zJ%2Fw34EOSVAYr7cu7Vo8LnebmK2%2FGrCgegtr8mQrqM%3D&timestamp=1700000000000"; got != want {
		t.Errorf("address = %q, want %q", got, want)
	}
	r.secret = ""
	if got, want := r.address(time.Now()), "https://x/send?access_token=a%26b"; got != want {
		t.Errorf("address without a secret = %q, want %q", got, want)
	}
}

const (
	testToken  = "T0KEN/+=x"
	testSecret = "SECc0ffee"
)

// fakeRobot checks requests as DingTalk does, and records them.
type fakeRobot struct {
	mu       sync.Mutex     // guards the fields below
	messages []message      // messages accepted
	attempts []time.Time    // times of all attempts
	signs    map[string]int // number of uses of each signature
	answer   func(attempt int) (status int, body string)
}

type message struct {
	at   time.Time
	text string
}

const okAnswer = `{"errcode":0,"errmsg":"ok"}`

func (f *fakeRobot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body := f.take(r)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// RoundTrip implements http.RoundTripper without a network.
func (f *fakeRobot) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f.take(r)
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (f *fakeRobot) take(r *http.Request) (int, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts = append(f.attempts, time.Now())
	text, wrong := checkRequest(r)
	if wrong != "" {
		return http.StatusOK, `{"errcode":310000,"errmsg":` + strconv.Quote(wrong) + `}`
	}
	if f.signs == nil {
		f.signs = map[string]int{}
	}
	f.signs[r.URL.Query().Get("sign")]++
	if f.answer != nil {
		if status, body := f.answer(len(f.attempts)); body != okAnswer {
			return status, body
		}
	}
	f.messages = append(f.messages, message{time.Now(), text})
	return http.StatusOK, okAnswer
}

// checkRequest returns the text of a request, or a description of the problem with it.
func checkRequest(r *http.Request) (text, wrong string) {
	q := r.URL.Query()
	ms, err := strconv.ParseInt(q.Get("timestamp"), 10, 64)
	if err != nil || time.Since(time.UnixMilli(ms)).Abs() > time.Hour {
		return "", "invalid timestamp"
	}
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(q.Get("timestamp") + "\n" + testSecret))
	if q.Get("sign") != base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		return "", "sign not match"
	}
	if q.Get("access_token") != testToken || len(q) != 3 {
		return "", "token is not exist"
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		return "", "wrong method or content type"
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) >= 20000 {
		return "", "message too long, exceed 20000 bytes"
	}
	var m struct {
		Type string `json:"msgtype"`
		Text struct {
			Content string `json:"content"`
		} `json:"text"`
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Type != "text" || m.Text.Content == "" {
		return "", "wrong body"
	}
	return m.Text.Content, ""
}

func (f *fakeRobot) taken() []message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]message(nil), f.messages...)
}

func (f *fakeRobot) tried() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.attempts...)
}

// TestAlertOverHTTP tests the whole path, from a line to a request and the flush in
// Close.
func TestAlertOverHTTP(t *testing.T) {
	f := new(fakeRobot)
	srv := httptest.NewServer(f)
	defer srv.Close()
	l, stderr := start(t, Config{DingTalkURL: srv.URL + "/robot/send", DingTalkToken: testToken, DingTalkSecret: testSecret})
	l.Info("not this")
	l.Opened(Conn, "8f7ed46a")
	l.Closed(Conn, "8f7ed46a", io.ErrUnexpectedEOF)
	l.Close()
	got := f.taken()
	if len(got) != 1 || !strings.HasPrefix(got[0].text, "tunnels on ") ||
		!strings.HasSuffix(got[0].text, " [erro] [conn] - 8f7ed46a = 0 unexpected EOF") || strings.Count(got[0].text, "\n") != 1 {
		t.Errorf("messages are %v, want one with the erro line", got)
	}
	if n := len(stderr.lines()); n != 3 {
		t.Errorf("log has %d lines, want 3: %q", n, stderr)
	}
}

func TestSendFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		serve  http.HandlerFunc
		want   string
		paused bool
	}{
		{name: "errcode", want: `errcode 310000: sign\nnot match ***`, serve: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"errcode":310000,"errmsg":"sign\nnot match `+testToken+`"}`)
		}},
		{name: "throttled", paused: true, want: errThrottled.Error(), serve: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`)
		}},
		{name: "status", want: "HTTP status 502", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
		}},
		{name: "redirect", want: "HTTP status 302", serve: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere?"+r.URL.RawQuery, http.StatusFound)
		}},
		{name: "no JSON", want: "the response has no errcode", serve: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>ok</html>")
		}},
		{name: "cut off", want: "EOF", serve: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(tt.serve)
			defer srv.Close()
			s, err := Config{DingTalkURL: srv.URL, DingTalkToken: testToken, DingTalkSecret: testSecret}.settle()
			if err != nil {
				t.Fatal(err)
			}
			s.robot.rt = newTransport()
			err = s.robot.send(t.Context(), "text")
			if err == nil || err.Error() != tt.want || errors.Is(err, errThrottled) != tt.paused {
				t.Errorf("send = %v, want %s", err, tt.want)
			}
		})
	}
}

func TestSendUnreachable(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := robot{url: u, token: testToken, secret: testSecret, rt: newTransport()}
	err = r.send(t.Context(), "text")
	if err == nil {
		t.Fatal("send = nil, want an error")
	}
	for _, hidden := range []string{testToken, url.QueryEscape(testToken), testSecret, "sign="} {
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("send = %v, with %q", err, hidden)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.send(ctx, "text"); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "access_token") {
		t.Errorf("send = %v, want context.Canceled without the address", err)
	}
}

// FuzzCheckAnswer checks responses that no real robot sends.
func FuzzCheckAnswer(f *testing.F) {
	f.Add(200, []byte(okAnswer))
	f.Add(200, []byte(`{"errcode":130101,"errmsg":"too fast"}`))
	f.Add(200, []byte(`{"errcode":"0"}`))
	f.Add(200, []byte(`{"errmsg":"ok"}`))
	f.Add(200, []byte(`[]`))
	f.Add(500, []byte(``))
	f.Add(200, []byte("{\"errcode\":1,\"errmsg\":\"\\u0000\xff"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := checkAnswer(status, body)
		if err == nil && (status != 200 || !strings.Contains(string(body), "0")) {
			t.Errorf("checkAnswer(%d, %q) = nil, want an error", status, body)
		}
		if err != nil && (len(err.Error()) > 300 || quote(err.Error()) != err.Error()) {
			t.Errorf("checkAnswer(%d, %q) = %q, want a short printable text", status, body, err)
		}
	})
}
