// Package events has what a Client and a Server report while they run.
//
// Nothing on the way of the data writes a log line or counts: it calls the functions
// of an [Events], as net/http does with an httptrace.ClientTrace. The service log and
// the [Table] of live sessions subscribe to it, and so may anything else.
package events

import (
	"time"

	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/upstream"
	"tunnels/remux"
)

// Events are functions that are called when something happens. Any may be nil. They
// are called from many goroutines, with no lock held, and must return soon. Of one
// conn, session or request the opening is always reported before the closing.
type Events struct {
	// ConnOpened and ConnClosed report the conns of remux. The error is nil after a
	// clean end.
	ConnOpened func(Conn)
	ConnClosed func(c Conn, lasted time.Duration, err error)
	// ConnBarred reports once for a conn why its peer may open no more sessions.
	ConnBarred func(c Conn, err error)
	// ConnRefused reports a connection that the server turned away for want of room.
	// client is empty if it has not said its name.
	ConnRefused func(client, from string, err error)

	// SessionOpened and SessionClosed report the sessions of remux. The error is nil
	// if both ends had finished.
	SessionOpened func(remux.ID)
	SessionClosed func(id remux.ID, err error)

	// RequestAccepted reports a request that will be carried if possible.
	RequestAccepted func(*Request)
	// RequestStarted reports that a request is on its way to its target: at the
	// client, that there is a server to send it to; at the server, that the first
	// address may be dialed. A request that fails before is closed without it.
	RequestStarted func(*Request)
	// RequestDialed reports that there is a connection to the target, or at the
	// client, unless the request was eager, the server's word for it. The request has
	// the times.
	RequestDialed func(*Request)
	// RequestAnswered reports the first byte from the target.
	RequestAnswered func(*Request)
	// RequestClosed reports the end of a request that was accepted.
	RequestClosed func(*Request, End)
	// RequestRefused reports what a limit or a rule forbids. The error names the
	// target and the rule; client is empty if it has no certificate.
	RequestRefused func(reason admission.Refusal, client string, err error)

	// DatagramsFailed reports that datagrams of an association cannot be sent to a
	// target, and TargetsForgotten that it has had to forget targets.
	DatagramsFailed  func(r *Request, target datagram.Target, err error)
	TargetsForgotten func(*Request)

	// ServerDialed reports each attempt of a client to reach a server.
	ServerDialed func(address string, took time.Duration, err error)
	// ServerSilent and ServerAnswers report that a server has stopped answering, and
	// that it answers again; ServerChosen, which one gets the new sessions. old is
	// empty at first.
	ServerSilent  func(address string, err error)
	ServerAnswers func(address string)
	ServerChosen  func(chosen, old upstream.Distance)

	// PeerRejected reports a connection whose TLS handshake failed.
	PeerRejected func(from string, err error)
	// DoorRejected reports an application's connection without a request that can be
	// carried, and LoginRejected one whose password is wrong.
	DoorRejected  func(from string, err error)
	LoginRejected func(from string, err error)
	// DoorFailed reports an application's connection that failed between two requests.
	DoorFailed func(from string, err error)
	// RequestInvalid reports a session, or at a server without remux a connection,
	// whose request cannot be read.
	RequestInvalid func(from string, err error)

	// FileLoaded reports that a file was read again, or why what was read before
	// remains in force.
	FileLoaded func(file File, name string, err error)
	// ListenerFailed reports that connections cannot be accepted for now.
	ListenerFailed func(err error)
	// Warning reports what an operator should look at.
	Warning func(text string)
}

// Conn is a conn of remux, and its peer.
type Conn struct {
	ID     remux.ID
	Server string // at a client: the server's address
	Client string // at a server: the name in the client's certificate, or empty
	From   string // at a server: the client's address
}

// File is a kind of file that is read again when it changes.
type File string

// The kinds.
const (
	Certificates File = "certificates"
	Users        File = "users"
	Rules        File = "rules"
)

// End is how a request ended.
type End struct {
	Err       error // nil after a clean end
	Cancelled bool  // the application went away, as it may
	Unreached bool  // there was no server to carry it to
	Refused   bool  // RequestRefused has told why
	// Datagrams counts what an association carried; nil for a connection.
	Datagrams *datagram.Counts
}

// AssociationEnd returns how an association ended: with err, having carried n.
func AssociationEnd(err error, n datagram.Counts) End {
	why, _ := code.Of(err)
	return End{Err: err, Cancelled: why == code.Cancelled, Datagrams: &n}
}
