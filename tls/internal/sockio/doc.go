// Package sockio reads from and writes to the socket beneath a TLS conn. It gathers the
// records of one Write, and reads and writes without blocking if the system supports
// that.
package sockio
