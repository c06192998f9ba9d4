package sla

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"
)

// A robot takes 20 messages a minute and then none for ten. One message every
// alertGap keeps two processes with the same robot below that together.
const (
	alertGap      = 10 * time.Second // between messages, at least
	maxAlertGap   = 5 * time.Minute  // between attempts while the robot fails, at most
	throttlePause = 10 * time.Minute // after the robot said that it was too much
)

// alerter sends lines at erro and fata to a robot. It is a logrus hook, which
// runs in the goroutine that logs, and one goroutine that talks to the robot.
type alerter struct {
	robot *robot
	warn  func(format string, a ...any) // logs, and alerts nobody
	box   box                           // its own lock

	ctx    context.Context // of every message; ends when Close has waited long enough
	cancel context.CancelFunc
	stop   chan struct{} // closed by close
	done   chan struct{} // closed by run

	// Owned by run.
	next      time.Time // no message before
	throttled bool      // next is the end of a throttlePause
	failures  int       // attempts that failed since the last that did not
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

// Levels are those of the lines that alert.
func (a *alerter) Levels() []logrus.Level {
	return []logrus.Level{logrus.ErrorLevel, logrus.FatalLevel}
}

// Fire puts a line into the box. It never waits for I/O and never fails.
func (a *alerter) Fire(e *logrus.Entry) error {
	if r, ok := e.Data[recordKey].(record); ok {
		a.box.add(e.Time, fromLogrus(e.Level), r.forAlert(a.robot.targets))
	}
	return nil
}

// forAlert returns what an alert may say of r. Alerts leave the machine, so without
// targets they do not say who was talked to: an application's connection has no
// name, and of the reason, which often repeats it, there is only what the error
// itself says may be told. All other lines are ours, and must name no target at erro.
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

// teller is an error that knows what of it may leave the machine.
type teller interface {
	error
	// Told returns the error without anything that came from outside.
	Told() string
}

// toldOf returns what an alert may say of an error.
func toldOf(err error) string {
	if t, ok := errors.AsType[teller](err); ok {
		return quote(t.Told())
	}
	return ""
}

// close sends what is in the box, for at most the given time, and ends run.
func (a *alerter) close(limit time.Duration) {
	a.box.close()
	close(a.stop)
	t := time.AfterFunc(limit, a.cancel)
	<-a.done
	t.Stop()
	a.cancel()
}

// run sends messages until close.
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

// sleep reports whether the time passed before close.
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

// deliver sends one message with what fits into it, and sets when the next may
// follow. What could not be sent goes back into the box.
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

// flush sends what is left when the alerter is closed, unless that is known to
// be in vain. Nobody waits for a gap here: the box fills a few messages at most.
func (a *alerter) flush() {
	if !a.throttled || !time.Now().Before(a.next) {
		for a.ctx.Err() == nil && !a.box.empty() && a.deliver() {
		}
	}
	if n := a.box.lines(); n > 0 {
		a.warn("alerts not sent before the end: %d", n)
	}
}
