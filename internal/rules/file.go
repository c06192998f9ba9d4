package rules

import (
	"strings"

	"tunnels/internal/reload"
)

// File is a rules file that is reloaded when it changes. While it is invalid or
// missing, the previous rules stay in force. Its methods may be called from any
// goroutine.
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

// Open reads a file, which must be valid, and then watches it for changes. report is
// called after each change: with nil if the file was reloaded, else with the error,
// once per distinct error. It is called by the goroutine that calls Table.
func Open(path string, report func(error)) (*File, error) {
	f, err := reload.Open(reload.Config[Table]{
		Path:        path,
		Kind:        "rules",
		Parse:       func(text string, _ *Table) (*Table, error) { return Parse(text, path) },
		Report:      report,
		KeepIfEmpty: true, // a file being rewritten in place would otherwise suspend all rules
	})
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// Table returns the rules in force. At most once a second, it first checks whether the
// file has changed; it does not wait for another caller's check. A nil File has a nil
// Table.
func (f *File) Table() *Table {
	if f == nil {
		return nil
	}
	f.file.Look()
	return f.file.Now()
}

// Now returns the rules in force without checking the file.
func (f *File) Now() *Table {
	if f == nil {
		return nil
	}
	return f.file.Now()
}

// Reload reads the file now, whether or not it has changed.
func (f *File) Reload() error {
	if f == nil {
		return nil
	}
	return f.file.Reload()
}

// Problems returns the individual errors joined in an error from this package.
func Problems(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

// OneLine returns the text of an error from this package on one line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
