// Package crl reads revocation lists and applies them to chains of certificates. A list
// that cannot be read is an error, never an empty list.
package crl
