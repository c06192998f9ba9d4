package sla

import (
	"fmt"
	"strings"

	"github.com/sirupsen/logrus"
)

// Level is how important a line is.
type Level uint8

// The levels, from the least important to the most.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
	LevelFatal
)

var levels = [...]struct {
	word string // as a user writes it
	tag  string // as a line shows it
	rus  logrus.Level
}{
	LevelDebug: {"debug", "debg", logrus.DebugLevel},
	LevelInfo:  {"info", "info", logrus.InfoLevel},
	LevelWarn:  {"warn", "warn", logrus.WarnLevel},
	LevelError: {"error", "erro", logrus.ErrorLevel},
	LevelFatal: {"fatal", "fata", logrus.FatalLevel},
}

// String is the level's four letters, as they stand in a line.
func (l Level) String() string { return levels[l].tag }

// ParseLevel reads a level: debug, info, warn, error or fatal, or the four
// letters that stand in a line, in upper or lower case. Empty is info.
func ParseLevel(s string) (Level, error) {
	if s == "" {
		return LevelInfo, nil
	}
	for l, v := range levels {
		if strings.EqualFold(s, v.word) || strings.EqualFold(s, v.tag) {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("%q is not a level; want debug, info, warn, error or fatal", s)
}

// fromLogrus is the Level of a logrus level that this package uses.
func fromLogrus(rus logrus.Level) Level {
	for l, v := range levels {
		if v.rus == rus {
			return Level(l)
		}
	}
	return LevelError
}

// Category is what an event is about; each has a count of its own.
type Category uint8

// The categories of events.
const (
	Conn Category = iota // a lower connection between client and server
	Sess                 // a session on a conn
	Sock                 // an application's connection to a target
)

// mainTag is the category of lines that are about none of these.
const mainTag = "main"

var categories = [...]struct {
	tag   string
	level Level // of an opening and of a clean ending
}{
	Conn: {"conn", LevelInfo},
	Sess: {"sess", LevelDebug},
	Sock: {"sock", LevelInfo},
}

// String is the category's four letters, as they stand in a line.
func (c Category) String() string { return categories[c].tag }
