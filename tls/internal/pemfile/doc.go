// Package pemfile reads the keys and certificates of PEM files: a file is read completely
// or refused, and the error for a file in a different format says how to convert it. No
// error quotes a file, which may hold a key.
package pemfile
