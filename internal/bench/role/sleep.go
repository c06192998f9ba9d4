package role

import "time"

// roughly is how late a Go timer may fire: an idle process waits in whole milliseconds.
const roughly = 1500 * time.Microsecond

// sleepUntil waits until t as precisely as the system allows, so that timer slack does
// not lengthen a round trip. It returns false if done was closed first.
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
