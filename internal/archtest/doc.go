// Package archtest tests the architecture: which packages may import which, which may
// name options, and what may leave the machine in alerts. It contains only tests.
package archtest
