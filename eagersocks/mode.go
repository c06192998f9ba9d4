package eagersocks

import "fmt"

// Mode selects when an application gets the reply "connected" before its target is
// connected.
type Mode uint8

// Modes.
const (
	On   Mode = iota // always, except where Eagerness expects a failure
	Off              // never: every request waits for the exit's reply
	Auto             // for names but not addresses: an application that dials addresses may have more of them to try
)

// String returns the mode as ParseMode reads it.
func (m Mode) String() string { return [...]string{"on", "off", "auto"}[m] }

// ParseMode parses a mode: on, off or auto.
func ParseMode(s string) (Mode, error) {
	for _, m := range []Mode{On, Off, Auto} {
		if s == m.String() {
			return m, nil
		}
	}
	return On, fmt.Errorf("%q is not one of on, off, auto", s)
}
