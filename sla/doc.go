// Package sla is the service log: lines that can be tailed and counted, a file
// that rotates, and alerts to a DingTalk robot.
//
// # Lines
//
// Each event is one line, whatever bytes it contains:
//
//	2020.09.01 17:15:07 [info] [conn] + 8f7ed46a = 2
//	2020.09.01 17:15:07 [debg] [sess] + 8f7ed46a:1 = 1
//	2020.09.01 17:15:07 [info] [sock] + google.com:443 = 1
//	2020.09.01 17:15:09 [info] [main] listening on 127.0.0.1:1080
//	2020.09.01 17:15:12 [erro] [conn] - 8f7ed46a = 1 unexpected EOF
//
// in EBNF; [Grammar] is the same as a regular expression, and [Check] tests a line
// against it:
//
//	line     = date " " time " [" level "] " ( event | message ) .
//	date     = year "." month "." day .             (* local time *)
//	time     = hour ":" minute ":" second .
//	level    = "debg" | "info" | "warn" | "erro" | "fata" .
//	event    = "[" category "] " ( opened | closed ) .
//	category = "conn" | "sess" | "sock" .
//	opened   = "+ " id " = " count .
//	closed   = "- " id " = " count [ " " reason ] .
//	message  = "[main] " text .
//	count    = digit { digit } .
//	id       = visible { visible } .
//	reason   = printable { printable } .
//	text     = printable { printable } .
//
// where printable means [unicode.IsPrint], and visible is printable without the space.
// All other characters are escaped as in a Go string (\n, \x1b, \u202e, \xff for a byte
// that is not UTF-8; \x20 for a space in an id). An id, reason or text longer than 4
// KiB is truncated and ends in "…", and an empty one is "".
//
// The category is conn for a lower connection, sess for a session, sock for an
// application's connection to a target, and main for everything else. The count is the
// number open in that category after the event. Hidden lines are counted too, and the
// lines of a category appear in the order in which the count changed, so a reader can
// check each line against the previous one. A count is never negative, because only
// opened connections and sessions are closed.
//
// conn and sock are logged at level info, sess at debg. An unclean close is logged at
// erro, with its reason, unless the caller chooses another level with
// [Logger.ClosedAs].
//
// The count is followed by [Fields], such as client=phone, in a fixed order. A reason
// never looks like a field.
//
// With Config.Format "json" a line is an object with time (RFC 3339 with
// milliseconds), level and category, then sign, id, count, fields and reason of an
// event or msg of a message.
//
// # The file
//
// Callers never wait for the log, because lines pass through a bounded queue to one
// writer. Lines that cannot be written in time are dropped, and a line in their place
// says how many were lost.
//
// The file is rotated when it reaches its maximum size; older files are kept next to
// it, named by the time of rotation. Lines are always appended, so another program may
// truncate the file. After renaming it, call [Logger.Reopen]. The file belongs to one
// process, which locks it on Unix; a second process logs to standard error instead.
// Symbolic links are followed, and devices and pipes are written directly. If the file
// cannot be written, a single warning is logged, lines go to standard error and the
// file is retried every 30 s.
//
// # Alerts
//
// Lines at erro and fata are sent to the robot, if there is one. The first is sent
// immediately; those in the next 10 s share one message, in which lines of the same
// kind are combined with a repeat count. Callers never wait for the robot: messages
// that cannot be sent are retained and retried, and lines that do not fit are counted
// and reported. Every message contains the word "tunnels" for robots that require a
// keyword. Unless Config.DingTalkTargets is set, messages do not name the targets that
// applications connect to: see record.forAlert. A message logged at erro must name
// none.
package sla
