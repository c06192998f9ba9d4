package sla

import (
	"fmt"
	"strings"

	"github.com/sirupsen/logrus"
)

// Level is the importance of a line.
type Level uint8

// Levels, from least to most important.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
	LevelFatal
)

var levels = [...]struct {
	word string // used in configurations
	tag  string // shown in lines
	rus  logrus.Level
}{
	LevelDebug: {"debug", "debg", logrus.DebugLevel},
	LevelInfo:  {"info", "info", logrus.InfoLevel},
	LevelWarn:  {"warn", "warn", logrus.WarnLevel},
	LevelError: {"error", "erro", logrus.ErrorLevel},
	LevelFatal: {"fatal", "fata", logrus.FatalLevel},
}

// String returns the level's four letters, as shown in lines.
func (l Level) String() string { return levels[l].tag }

// Word returns the level's name as used in configurations.
func (l Level) Word() string { return levels[l].word }

// ParseLevel parses a level: debug, info, warn, error or fatal, or the four letters
// shown in lines, in upper or lower case. Empty means DefaultLevel.
func ParseLevel(s string) (Level, error) {
	if s == "" {
		return DefaultLevel, nil
	}
	for l, v := range levels {
		if strings.EqualFold(s, v.word) || strings.EqualFold(s, v.tag) {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("%q is not a level; want debug, info, warn, error or fatal", s)
}

// fromLogrus returns the Level for a logrus level used by this package.
func fromLogrus(rus logrus.Level) Level {
	for l, v := range levels {
		if v.rus == rus {
			return Level(l)
		}
	}
	return LevelError
}

// Category is the kind of connection that an event is about. Each category has its own
// count.
type Category uint8

// Categories of events.
const (
	Conn Category = iota // a lower connection between client and server
	Sess                 // a session on a conn
	Sock                 // an application's connection to a target
)

// mainTag is the category of all other lines.
const mainTag = "main"

var categories = [...]struct {
	tag   string
	level Level // level of opening and clean closing lines
}{
	Conn: {"conn", LevelInfo},
	Sess: {"sess", LevelDebug},
	Sock: {"sock", LevelInfo},
}

// String returns the category's four letters, as shown in lines.
func (c Category) String() string { return categories[c].tag }
