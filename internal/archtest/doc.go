// Package archtest holds the tests of the house itself: who may import whom, and what
// may leave the machine. It has no code.
package archtest
