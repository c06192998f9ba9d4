// Package sockio does the reads and writes of the socket below a TLS conn: it gathers
// the records of one Write, and reads and writes without waiting where the system can.
package sockio
