// Package bench compares SOCKS5 proxies on one machine: ours, a reference that
// takes one TLS connection for each session, ssh -D, and any other that a user
// names.
//
// It measures from outside, as an application does. The parts are processes of
// their own, so that the CPU time and the memory of a proxy can be told from
// those of its surroundings:
//
//	load ── SOCKS5 ── proxy's near end ── line ── proxy's far end ── origin
//
// The load is the process that runs the benchmark. The origin echoes, counts
// and sends bytes that cannot be compressed. The line is there for the cases
// with a round-trip time: a relay that delays what it carries, and sends it no
// faster than it is told to. Where no delay is wanted the ends meet directly.
//
// Systems take turns (A B C A B C …), so that what disturbs the machine for a
// while disturbs all of them. A figure is the median of the repetitions, with
// the smallest and the largest beside it. Every repetition checks that all of
// its bytes came, and one that failed is shown as failed.
//
// CPU time and memory are read from /proc, so only on Linux; elsewhere these
// figures are absent.
package bench
