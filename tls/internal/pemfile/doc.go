// Package pemfile reads keys and certificates from PEM files. A file is read completely
// or rejected, and the error for a file in a different format says how to convert it.
// No error quotes a file's content, which may be a key.
package pemfile
