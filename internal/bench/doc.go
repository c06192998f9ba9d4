// Package bench compares SOCKS5 proxies on one machine: ours, a reference with one TLS
// connection per session, ssh -D, and any other that the user names.
//
// It measures from outside, as an application would. All parts are separate processes,
// so that the CPU time and memory of a proxy can be told apart from those of the rest:
//
//	load ── SOCKS5 ── proxy's near end ── line ── proxy's far end ── origin
//
// The load is the process that runs the benchmark. The origin echoes, counts and sends
// incompressible bytes. The line is used by cases with a round-trip time: a relay that
// adds delay and limits the rate. Without a delay the ends connect directly.
//
// Systems take turns (A B C A B C …), so that a temporary disturbance affects all of
// them. A figure is the median of the repetitions, shown with minimum and maximum.
// Every repetition checks that all of its bytes arrived; a failed one is shown as
// failed.
//
// This package has the verb, its cases and the systems. The client's side of the load is
// in package load, the processes around a proxy are in role, and the tables and the
// chart in report.
//
// CPU time and memory are read from /proc, so these figures are available only on
// Linux.
package bench
