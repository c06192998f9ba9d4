// Package bench compares SOCKS5 proxies on one machine: ours, a reference with one TLS
// connection per session, ssh -D, and any other the user names.
//
// It measures from outside, as an application would. All parts are separate processes, so
// that a proxy's CPU time and memory can be measured separately:
//
//	load ── SOCKS5 ── proxy's near end ── line ── proxy's far end ── origin
//
// The load is the process that runs the benchmark. The origin echoes, counts and sends
// incompressible bytes. Cases with a round-trip time use the line, a relay that adds
// delay and limits the rate; otherwise the ends connect directly.
//
// Systems take turns (A B C A B C …), so that a temporary disturbance affects all of
// them. Each figure is the median of the repetitions, shown with the minimum and maximum.
// Every repetition checks that all of its bytes arrived; a failed one is shown as failed.
//
// This package contains the verb, its cases and the systems. Package load has the client
// side of the load, role the processes around a proxy, and report the tables and the
// chart.
//
// CPU time and memory come from /proc, so those figures are available only on Linux.
package bench
