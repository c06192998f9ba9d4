package tunnel

import (
	"fmt"
	"strings"

	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/sla"
)

// association is the line pair of an association. Its name is the address where
// the client takes datagrams, the same at both ends.
type association struct{ sock }

func openAssociation(log *sla.Logger, client, at string) association {
	return association{openSock(log, client, "udp:"+at)}
}

// failed says why datagrams for a target are not sent, though they may be.
func (a association) failed(target datagram.Target, err error) {
	a.log.Info("%s: datagrams to %s are not sent: %v", a.name, target, err)
}

// crowded says that the association has had to forget targets.
func (a association) crowded() {
	a.log.Warn("%s: too many targets at one time; the ones sent to longest ago are forgotten, with what they answer", a.name)
}

// ended says how it ended, how much was carried, and what did not get through.
func (a association) ended(err error, c datagram.Counts) {
	a.up, a.down = int64(c.Up), int64(c.Down)
	var lost []string
	for _, l := range []struct {
		n    uint64
		what string
	}{{c.Dropped, "dropped"}, {c.Refused, "refused"}, {c.Ignored, "ignored"}} {
		if l.n > 0 {
			lost = append(lost, fmt.Sprintf("%d %s", l.n, l.what))
		}
	}
	summary := "datagrams: " + strings.Join(lost, ", ")
	if c.Forgotten > 0 {
		if len(lost) == 0 {
			summary = ""
		} else {
			summary += "; "
		}
		summary += fmt.Sprintf("targets: %d forgotten", c.Forgotten)
		lost = append(lost, summary)
	}
	switch why, _ := code.Of(err); {
	case err != nil && len(lost) > 0:
		err = fmt.Errorf("%w; %s", err, summary)
		a.closed(err, why == code.Cancelled)
	case len(lost) > 0:
		a.endedAs(sla.LevelInfo, summary)
	default:
		a.closed(err, why == code.Cancelled)
	}
}
