// Package events defines the events that a running Client or Server reports.
//
// The data path does not log or count. It calls the hooks in an [Events], much as
// net/http calls those in an httptrace.ClientTrace. The service log and the [Table] of
// live sessions are subscribers; others can be added with [Join].
package events

import (
	"time"

	"tunnels/internal/admission"
	"tunnels/internal/code"
	"tunnels/internal/datagram"
	"tunnels/internal/netx"
	"tunnels/internal/upstream"
	"tunnels/remux"
)

// Events is a set of hooks, any of which may be nil. They are called from many
// goroutines, must return quickly, and must not call back into the object that they
// report on. A conn, session or request is always reported as opened before it is
// reported as closed.
type Events struct {
	// ConnOpened and ConnClosed report that a remux conn was opened or closed. err is
	// nil after a clean close.
	ConnOpened func(Conn)
	ConnClosed func(c Conn, lasted time.Duration, err error)
	// ConnBarred reports why a conn's peer may no longer open sessions. It is called
	// once per conn.
	ConnBarred func(c Conn, err error)
	// ConnRefused reports a connection that the server refused because of a connection
	// limit. client is empty if the client's name is unknown.
	ConnRefused func(client, from string, err error)

	// SessionOpened and SessionClosed report that a remux session was opened or closed.
	// err is nil if both ends had finished.
	SessionOpened func(remux.ID)
	SessionClosed func(id remux.ID, err error)

	// RequestAccepted reports that a request was accepted and will be carried out if
	// possible.
	RequestAccepted func(*Request)
	// RequestStarted reports that a request has started: at the client, a server is
	// available; at the server, the first address is about to be dialed. It is not
	// called for a request that fails earlier.
	RequestStarted func(*Request)
	// RequestDialed reports that the target is connected or, at a client, that the
	// server has confirmed this, which it does not do for an eager request. The Request
	// holds the timings.
	RequestDialed func(*Request)
	// RequestAnswered reports the first byte from the target.
	RequestAnswered func(*Request)
	// RequestClosed reports that an accepted request has ended.
	RequestClosed func(*Request, End)
	// RequestRefused reports a request forbidden by a limit or rule. err names the
	// target and the rule; client is empty if the client has no certificate.
	RequestRefused func(reason admission.Refusal, client string, err error)

	// DatagramsFailed reports that an association's datagrams cannot be sent to a
	// target, and TargetsForgotten that an association had to evict targets.
	DatagramsFailed  func(r *Request, target datagram.Target, err error)
	TargetsForgotten func(*Request)

	// ServerDialed reports the result of each attempt by a client to reach a server.
	ServerDialed func(address string, took time.Duration, err error)
	// ServerSilent and ServerAnswers report that a server has stopped responding or is
	// responding again. ServerChosen reports which server will be used for new
	// sessions; old is empty the first time.
	ServerSilent  func(address string, err error)
	ServerAnswers func(address string)
	ServerChosen  func(chosen, old upstream.Distance)

	// CongestionChosen reports the congestion control of each new TCP connection between
	// client and server.
	CongestionChosen func(netx.CongestionUse)

	// PeerRejected reports a connection whose TLS handshake failed.
	PeerRejected func(from string, err error)
	// DoorRejected reports an application's connection without a valid request, and
	// LoginRejected one with a wrong password.
	DoorRejected  func(from string, err error)
	LoginRejected func(from string, err error)
	// DoorFailed reports an application's connection that failed between two requests.
	DoorFailed func(from string, err error)
	// RequestInvalid reports a session (or, at a server without remux, a connection)
	// whose request was invalid.
	RequestInvalid func(from string, err error)

	// FileLoaded reports that a file was reloaded or, if err is not nil, that reloading
	// failed and the previous contents remain in use.
	FileLoaded func(file File, name string, err error)
	// ListenerFailed reports that connections cannot currently be accepted.
	ListenerFailed func(err error)
	// Warning reports a problem that needs an operator's attention.
	Warning func(text string)
}

// Conn identifies a remux conn and its peer.
type Conn struct {
	ID     remux.ID
	Server string // at a client: the server's address
	Client string // at a server: the name in the client's certificate, or empty
	From   string // at a server: the client's address
}

// File is a kind of file that is reloaded when it changes.
type File string

// The kinds of File.
const (
	Certificates File = "certificates"
	Users        File = "users"
	Rules        File = "rules"
)

// End describes how a request ended.
type End struct {
	Err       error // nil if the request ended cleanly
	Cancelled bool  // the application disconnected, which is not a failure
	Unreached bool  // no server could be reached
	Refused   bool  // the request was also reported by RequestRefused
	// Datagrams counts the datagrams of an association; nil for a connection.
	Datagrams *datagram.Counts
}

// AssociationEnd returns the End for an association that carried n and ended with err.
func AssociationEnd(err error, n datagram.Counts) End {
	why, _ := code.Of(err)
	return End{Err: err, Cancelled: why == code.Cancelled, Datagrams: &n}
}
