package sla

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	sendTime  = 10 * time.Second // limit for one message, from dialing to the response
	maxAnswer = 64 << 10         // maximum bytes read from the robot's response

	// codeTooFast is the errcode for too many messages.
	codeTooFast = 130101
)

// errThrottled means that the robot will accept no messages for some minutes.
var errThrottled = errors.New("the robot was sent too many messages")

// robot is a DingTalk custom robot: a URL that accepts signed messages. It is read-only
// once in use.
type robot struct {
	url     *url.URL // without a query
	token   string
	secret  string // empty to send messages unsigned
	targets bool   // alerts may name targets
	rt      http.RoundTripper
}

// newTransport returns a transport that keeps no idle connections, because messages are
// rare and none may outlive Close.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DisableKeepAlives: true,
	}
}

// send posts a text message. Its errors contain neither the token nor the secret.
func (r *robot) send(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	return r.redact(r.post(ctx, text))
}

func (r *robot) post(ctx context.Context, text string) error {
	body, err := json.Marshal(map[string]any{
		"msgtype": "text",
		"text":    map[string]string{"content": text},
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.address(time.Now()), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	client := http.Client{
		Transport: r.rt,
		// The token must not be sent to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the response: %w", err)
	}
	return checkAnswer(resp.StatusCode, answer)
}

// address returns the URL for a message sent at the given time. Its signature is valid
// for an hour.
func (r *robot) address(now time.Time) string {
	q := url.Values{"access_token": {r.token}}
	if r.secret != "" {
		ms := strconv.FormatInt(now.UnixMilli(), 10)
		q.Set("timestamp", ms)
		q.Set("sign", sign(r.secret, ms))
	}
	u := *r.url
	u.RawQuery = q.Encode()
	return u.String()
}

// sign returns the signature for a message sent at ms, a UNIX time in milliseconds.
func sign(secret, ms string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(ms + "\n" + secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// checkAnswer returns an error if the robot did not accept the message. The HTTP status
// is 200 even if it did not.
func checkAnswer(status int, body []byte) error {
	if status == http.StatusTooManyRequests {
		return errThrottled
	}
	if status != http.StatusOK {
		return fmt.Errorf("HTTP status %d", status)
	}
	var answer struct {
		Code *int   `json:"errcode"`
		Text string `json:"errmsg"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Code == nil {
		return errors.New("the response has no errcode")
	}
	switch {
	case *answer.Code == 0:
		return nil
	case *answer.Code == codeTooFast || strings.Contains(answer.Text, "too fast"):
		return errThrottled
	}
	return fmt.Errorf("errcode %d: %s", *answer.Code, cut(quote(answer.Text), 200))
}

// redactedError is an error whose text contains no secrets.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }

// redact removes all secrets from err's text. A *url.Error contains the whole address,
// and the robot's response may repeat the secrets.
func (r *robot) redact(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	text := err.Error()
	for _, s := range []string{r.token, r.secret} {
		if s != "" {
			text = strings.ReplaceAll(text, s, "***")
			text = strings.ReplaceAll(text, url.QueryEscape(s), "***")
		}
	}
	return &redactedError{text: text, err: err}
}
