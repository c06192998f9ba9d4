// Package sla is the service log: lines that can be tailed and counted, a file
// that rotates, and alerts to a DingTalk robot.
//
// # Lines
//
// One event is one line, whatever bytes it is about:
//
//	2020.09.01 17:15:07 [info] [conn] + 8f7ed46a = 2
//	2020.09.01 17:15:07 [debg] [sess] + 8f7ed46a:1 = 1
//	2020.09.01 17:15:07 [info] [sock] + google.com:443 = 1
//	2020.09.01 17:15:09 [info] [main] listening on 127.0.0.1:1080
//	2020.09.01 17:15:12 [erro] [conn] - 8f7ed46a = 1 unexpected EOF
//
// in EBNF, with [Grammar] the same as a regular expression and [Check] testing
// a line against it:
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
// where printable is what [unicode.IsPrint] says and visible is that without
// the space. Everything else is escaped as in a Go string (\n, \x1b, \u202e,
// \xff for a byte that is not UTF-8; \x20 for a space in an id), an id, a
// reason or a text of over 4 KiB is cut and ends in "…", and an empty one is "".
//
// The category conn is a lower connection, sess a session, sock an
// application's connection to a target, main everything else. The count is how
// many of that category are open after the event. It is kept for hidden lines
// too, and the lines of a category stand in the file in the order in which the
// count changed, so a reader can check each against the one before. A count
// below zero would mean that something was closed that was never opened; the
// grammar does not admit it.
//
// conn and sock are logged at level info, sess at debg. An ending that was not
// clean is erro, with its reason, unless the caller says by [Logger.ClosedAs]
// that it was nobody's fault.
//
// Behind the count come [Fields], such as client=phone, in a fixed order; a reason
// never begins like one.
//
// With Config.Format "json" a line is an object with time (RFC 3339 with
// milliseconds), level and category, then sign, id, count, fields and reason of an
// event or msg of a message.
//
// # The file
//
// No caller waits for the log: lines pass through a bounded queue to one writer.
// Lines that cannot be written in time are dropped, and a line says how many
// where they would have been.
//
// The file is rotated when it has reached its size; the older ones stand beside
// it with the time of rotation in their names. Lines are always appended, so
// another program may empty the file. To rotate it by renaming, call
// [Logger.Reopen] afterwards. The file belongs to one process, which locks it
// on Unix; a second one logs to standard error. A symbolic link is followed, and
// a device or a pipe is written as it is. When the file cannot be written, one
// warning says so and lines go to standard error; the file is tried again every
// 30 s.
//
// # Alerts
//
// Lines at erro and fata are sent to the robot, if there is one. The first goes
// out at once, those of the next 10 s go together in one message, lines of the
// same kind as one with a repeat count. Nothing waits for the robot: what cannot
// be sent is kept and tried again, what is too much is counted and mentioned.
// Every message contains the word "tunnels", for robots that want a keyword.
// Without Config.DingTalkTargets messages do not say which targets applications
// talked to: see record.forAlert. A message logged at erro must name none.
package sla
