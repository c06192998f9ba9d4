// Package authority is a certificate authority in memory: it signs certificates for the
// two roles and revocation lists, and checks the names that certificates can have.
package authority
