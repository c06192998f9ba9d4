// Package authority is an in-memory certificate authority. It signs certificates for
// the two roles, signs revocation lists, and checks the names used in certificates.
package authority
