package bench

import "time"

// roughly is how late a timer of the Go runtime may be: it waits in whole
// milliseconds when nothing else is going on.
const roughly = 1500 * time.Microsecond

// sleepUntil waits for t, as exactly as the system allows: a round trip must not
// become longer by the clock that emulates it. False: done was closed first.
func sleepUntil(t time.Time, done <-chan struct{}) bool {
	if d := time.Until(t) - roughly; d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-done:
			return false
		}
	}
	for {
		d := time.Until(t)
		if d <= 0 {
			break
		}
		nap(d)
	}
	select {
	case <-done:
		return false
	default:
		return true
	}
}
