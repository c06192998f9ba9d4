package sla

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// toldError is an error that implements teller.
type toldError string

func (e toldError) Error() string { return string(e) }
func (e toldError) Told() string  { return "host unreachable" }

// TestAlertsNameNoTarget logs a target's name in every part of an event that can
// contain it.
func TestAlertsNameNoTarget(t *testing.T) {
	const host = "secret.example"
	for _, targets := range []bool{false, true} {
		f := &fakeRobot{}
		l := newAlertingLogger(t, f, targets)
		for i, err := range []error{
			textError("lookup " + host + ": no such host"),
			toldError("lookup " + host + ": no such host"),
			fmt.Errorf("dialing %s: %w", host, toldError(host)),
			errors.New(host),
		} {
			id := fmt.Sprintf("%s:%d", host, 443+i)
			l.Opened(Sock, id)
			l.Closed(Sock, id, err)
			l.Opened(Sess, "8f7ed46a:1")
			l.Closed(Sess, "8f7ed46a:1", err)
			l.Opened(Sock, id)
			l.ClosedAs(Sock, id, LevelError, err.Error())
			l.Opened(Sess, "8f7ed46a:1")
			l.ClosedAs(Sess, "8f7ed46a:1", LevelError, err.Error())
		}
		l.Close()
		var all strings.Builder
		for _, m := range f.taken() {
			all.WriteString(m.text + "\n")
		}
		got := all.String()
		if named := strings.Contains(got, host); named != targets {
			t.Errorf("with targets %v the robot received %s", targets, got)
		}
		for _, want := range []string{"[erro] [sock] - ", "[erro] [sess] - 8f7ed46a:1 = 0"} {
			if !strings.Contains(got, want) {
				t.Errorf("with targets %v there is no %q in %s", targets, want, got)
			}
		}
		if !targets && !strings.Contains(got, " - * = 0 host unreachable") {
			t.Errorf("no reason in %s", got)
		}
	}
}

func newAlertingLogger(t *testing.T, f *fakeRobot, targets bool) *Logger {
	t.Helper()
	s, err := Config{DingTalkToken: testToken, DingTalkSecret: testSecret, DingTalkTargets: targets, Stderr: new(buffer)}.settle()
	if err != nil {
		t.Fatal(err)
	}
	l := newLogger(s, f)
	t.Cleanup(l.Close)
	return l
}
