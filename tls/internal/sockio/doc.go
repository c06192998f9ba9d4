// Package sockio does the reads and writes of the socket below a TLS conn: it gathers the
// records of one Write, and reads and writes without blocking if the system supports it.
package sockio
