// Package ca is the small certificate authority behind `tunnels certs`. One folder
// holds the CA with its key, its revocation list, a record of the certificates it
// issued, and the files that servers and clients use:
//
//	report, err := ca.Init("certs", []string{"vps.example.com"}) // a CA, a server, a first client
//	report, err = ca.IssueClient("certs", "laptop")
//	revoked, err := ca.Revoke("certs", "laptop")
//
// Nothing is ever overwritten except the revocation list and the record, which are
// replaced atomically, by one process at a time.
package ca
