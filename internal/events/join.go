package events

import (
	"time"

	"tunnels/internal/admission"
	"tunnels/internal/datagram"
	"tunnels/internal/netx"
	"tunnels/internal/upstream"
	"tunnels/remux"
)

// Join returns Events whose hooks call the same hook of each subscriber in order. None
// of the returned hooks is nil, so callers need no check.
func Join(subscribers ...*Events) *Events {
	s := list(subscribers)
	return &Events{
		ConnOpened:       each1(s, func(e *Events) func(Conn) { return e.ConnOpened }),
		ConnClosed:       each3(s, func(e *Events) func(Conn, time.Duration, error) { return e.ConnClosed }),
		ConnBarred:       each2(s, func(e *Events) func(Conn, error) { return e.ConnBarred }),
		ConnRefused:      each3(s, func(e *Events) func(string, string, error) { return e.ConnRefused }),
		SessionOpened:    each1(s, func(e *Events) func(remux.ID) { return e.SessionOpened }),
		SessionClosed:    each2(s, func(e *Events) func(remux.ID, error) { return e.SessionClosed }),
		RequestAccepted:  each1(s, func(e *Events) func(*Request) { return e.RequestAccepted }),
		RequestStarted:   each1(s, func(e *Events) func(*Request) { return e.RequestStarted }),
		RequestDialed:    each1(s, func(e *Events) func(*Request) { return e.RequestDialed }),
		RequestAnswered:  each1(s, func(e *Events) func(*Request) { return e.RequestAnswered }),
		RequestClosed:    each2(s, func(e *Events) func(*Request, End) { return e.RequestClosed }),
		RequestRefused:   each3(s, func(e *Events) func(admission.Refusal, string, error) { return e.RequestRefused }),
		DatagramsFailed:  each3(s, func(e *Events) func(*Request, datagram.Target, error) { return e.DatagramsFailed }),
		TargetsForgotten: each1(s, func(e *Events) func(*Request) { return e.TargetsForgotten }),
		ServerDialed:     each3(s, func(e *Events) func(string, time.Duration, error) { return e.ServerDialed }),
		ServerSilent:     each2(s, func(e *Events) func(string, error) { return e.ServerSilent }),
		ServerAnswers:    each1(s, func(e *Events) func(string) { return e.ServerAnswers }),
		ServerChosen:     each2(s, func(e *Events) func(upstream.Distance, upstream.Distance) { return e.ServerChosen }),
		CongestionChosen: each1(s, func(e *Events) func(netx.CongestionUse) { return e.CongestionChosen }),
		PeerRejected:     each2(s, func(e *Events) func(string, error) { return e.PeerRejected }),
		DoorRejected:     each2(s, func(e *Events) func(string, error) { return e.DoorRejected }),
		LoginRejected:    each2(s, func(e *Events) func(string, error) { return e.LoginRejected }),
		DoorFailed:       each2(s, func(e *Events) func(string, error) { return e.DoorFailed }),
		RequestInvalid:   each2(s, func(e *Events) func(string, error) { return e.RequestInvalid }),
		FileLoaded:       each3(s, func(e *Events) func(File, string, error) { return e.FileLoaded }),
		ListenerFailed:   each1(s, func(e *Events) func(error) { return e.ListenerFailed }),
		Warning:          each1(s, func(e *Events) func(string) { return e.Warning }),
	}
}

// list is a list of subscribers, some of which may be nil.
type list []*Events

// functions returns the hook that get selects from each subscriber, without the nil
// ones.
func functions[F any](s list, get func(*Events) F, isNil func(F) bool) (all []F) {
	for _, e := range s {
		if e == nil {
			continue
		}
		if f := get(e); !isNil(f) {
			all = append(all, f)
		}
	}
	return all
}

// each1 returns a function that calls the selected hook of each subscriber.
func each1[A any](s list, get func(*Events) func(A)) func(A) {
	all := functions(s, get, func(f func(A)) bool { return f == nil })
	return func(a A) {
		for _, f := range all {
			f(a)
		}
	}
}

// each2 is like each1 for hooks with two parameters.
func each2[A, B any](s list, get func(*Events) func(A, B)) func(A, B) {
	all := functions(s, get, func(f func(A, B)) bool { return f == nil })
	return func(a A, b B) {
		for _, f := range all {
			f(a, b)
		}
	}
}

// each3 is like each1 for hooks with three parameters.
func each3[A, B, C any](s list, get func(*Events) func(A, B, C)) func(A, B, C) {
	all := functions(s, get, func(f func(A, B, C)) bool { return f == nil })
	return func(a A, b B, c C) {
		for _, f := range all {
			f(a, b, c)
		}
	}
}
