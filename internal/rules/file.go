package rules

import (
	"strings"

	"tunnels/internal/reload"
)

// File is a file of rules that is read again when it changes. While it is broken
// or gone, what was read before stays in force. Its methods may be called from
// any goroutine.
type File struct {
	file *reload.File[Table] // set once, never changed
}

// Read reads a file once.
func Read(path string) (*Table, error) {
	text, _, err := reload.Read(path, "rules")
	if err != nil {
		return nil, err
	}
	return Parse(text, path)
}

// Open reads a file, which must be right, and follows its changes. report is told
// of them: nil after the file was read again, else what is wrong with it, the same
// thing once. It is called by who calls Table.
func Open(path string, report func(error)) (*File, error) {
	f, err := reload.Open(reload.Config[Table]{
		Path:        path,
		Kind:        "rules",
		Parse:       func(text string, _ *Table) (*Table, error) { return Parse(text, path) },
		Report:      report,
		KeepIfEmpty: true, // a file being written in place would suspend all rules
	})
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// Table is the rules in force. Once a second it looks whether the file has
// changed; nobody waits for another one who does so. A nil File has a nil Table.
func (f *File) Table() *Table {
	if f == nil {
		return nil
	}
	f.file.Look()
	return f.file.Now()
}

// Now is the rules in force, without a look at the file.
func (f *File) Now() *Table {
	if f == nil {
		return nil
	}
	return f.file.Now()
}

// Reload reads the file now, changed or not.
func (f *File) Reload() error {
	if f == nil {
		return nil
	}
	return f.file.Reload()
}

// Problems are the single errors that an error of this package joins.
func Problems(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

// OneLine is what an error of this package says, on one line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
