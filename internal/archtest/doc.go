// Package archtest tests the architecture: which packages may import which others, which
// may name options, and what alerts may contain. It contains only tests.
package archtest
