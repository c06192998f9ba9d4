package sla

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"
)

// A robot accepts 20 messages a minute; beyond that it rejects everything for ten
// minutes. With one message per alertGap, two processes that share a robot stay below
// the limit.
const (
	alertGap      = 10 * time.Second // minimum time between messages
	maxAlertGap   = 5 * time.Minute  // maximum time between attempts while the robot is failing
	throttlePause = 10 * time.Minute // pause after the robot has reported too many messages
)

// alerter sends lines at erro and fata to a robot. It consists of a logrus hook, which
// runs in the logging goroutine, and one goroutine that talks to the robot.
type alerter struct {
	robot *robot
	warn  func(format string, a ...any) // logs without alerting
	box   box                           // has its own lock

	ctx    context.Context // used for all messages; canceled when the time limit for Close expires
	cancel context.CancelFunc
	stop   chan struct{} // closed by close
	done   chan struct{} // closed by run

	// Owned by run.
	next      time.Time // earliest time of the next message
	throttled bool      // next is the end of a throttlePause
	failures  int       // consecutive failed attempts
}

func newAlerter(r *robot, l *Logger) *alerter {
	a := &alerter{
		robot: r,
		warn:  l.Warn,
		box:   newBox(),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// Levels returns the levels that cause alerts.
func (a *alerter) Levels() []logrus.Level {
	return []logrus.Level{logrus.ErrorLevel, logrus.FatalLevel}
}

// Fire puts a line in the box. It never waits for I/O and never fails.
func (a *alerter) Fire(e *logrus.Entry) error {
	if r, ok := e.Data[recordKey].(record); ok {
		a.box.add(e.Time, fromLogrus(e.Level), r.forAlert(a.robot.targets))
	}
	return nil
}

// forAlert returns the part of r that an alert may contain. Alerts leave the machine,
// so they do not name targets unless that is allowed: the id of an application's
// connection is removed, and so is the reason, which often repeats it, except for the
// part returned by the error's Told method. All other lines originate in this program
// and must not name a target at erro.
func (r record) forAlert(targets bool) record {
	if targets || r.sign == 0 || r.cat == Conn.String() {
		return r
	}
	if r.cat == Sock.String() {
		r.id = "*"
	}
	r.reason = r.told
	return r
}

// teller is an error that can say which part of its text may leave the machine.
type teller interface {
	error
	// Told returns the error without any text from outside this program.
	Told() string
}

// toldOf returns the part of an error that an alert may contain.
func toldOf(err error) string {
	if t, ok := errors.AsType[teller](err); ok {
		return quote(t.Told())
	}
	return ""
}

// close sends the lines in the box, taking at most limit, and stops run.
func (a *alerter) close(limit time.Duration) {
	a.box.close()
	close(a.stop)
	t := time.AfterFunc(limit, a.cancel)
	<-a.done
	t.Stop()
	a.cancel()
}

// run sends messages until close is called.
func (a *alerter) run() {
	defer close(a.done)
	defer a.flush()
	for {
		select {
		case <-a.stop:
			return
		case <-a.box.full:
		}
		if !a.sleep(time.Until(a.next)) {
			return
		}
		a.deliver()
	}
}

// sleep waits for d and reports whether d passed before close was called.
func (a *alerter) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-a.stop:
		return false
	case <-t.C:
		return true
	}
}

// deliver sends one message with as many lines as fit and schedules the next one. Lines
// that could not be sent go back into the box.
func (a *alerter) deliver() bool {
	d, ok := a.box.take()
	if !ok {
		return true
	}
	err := a.robot.send(a.ctx, d.text())
	a.throttled = errors.Is(err, errThrottled)
	if err == nil {
		a.failures = 0
		a.next = time.Now().Add(alertGap)
		return true
	}
	a.box.putBack(d)
	wait := throttlePause
	if !a.throttled {
		wait = min(alertGap<<min(a.failures, 10), maxAlertGap)
	}
	a.failures++
	a.next = time.Now().Add(wait)
	a.warn("alert not sent, next attempt in %v: %v", wait, err)
	return false
}

// flush sends the remaining lines when the alerter is closed, unless the robot is known
// to reject them. It ignores the gap between messages, because even a full box needs
// only a few.
func (a *alerter) flush() {
	if !a.throttled || !time.Now().Before(a.next) {
		for a.ctx.Err() == nil && !a.box.empty() && a.deliver() {
		}
	}
	if n := a.box.lines(); n > 0 {
		a.warn("alerts not sent before the log was closed: %d", n)
	}
}
