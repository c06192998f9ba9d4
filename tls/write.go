package tls

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// newFile is a file that is to be written and must not exist.
type newFile struct {
	name string
	mode os.FileMode
	data []byte
}

// writeAll writes all files or none, and never overwrites one.
func writeAll(dir string, files []newFile) (written []string, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, path := range written {
			_ = os.Remove(path) // the first error is the one to know
		}
		written = nil
	}()
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		err := create(path, f.mode, f.data)
		if errors.Is(err, fs.ErrExist) {
			return written, fmt.Errorf("nothing written: %s exists and is never overwritten", path)
		}
		if err != nil {
			return written, fmt.Errorf("nothing written: %w", err)
		}
		written = append(written, path)
	}
	syncDir(dir)
	return written, nil
}

// create writes a file that must not exist, whole or not at all.
func create(path string, mode os.FileMode, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err := errors.Join(writeSync(f, data), f.Close()); err != nil {
		_ = os.Remove(path) // the first error is the one to know
		return err
	}
	return nil
}

func writeSync(f *os.File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// replaceLocked replaces a file that holds no secret by what change makes of its
// content (nil if it does not exist yet). The new content is written beside it
// and renamed, so that readers see the old or the new; that the file beside it
// must not exist keeps two of these from undoing each other.
//
// Whoever could read the old file can read the new one, whatever the umask and
// the user of this process: owner and mode are those of the old file or, if
// there is none, of the file like beside it.
func replaceLocked(path, like string, change func(old []byte) ([]byte, error)) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link stays a link
	}
	beside := path + ".new"
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, public)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: another tunnels is changing %s; if none is, one was interrupted: remove it and try again", beside, filepath.Base(path))
	}
	if err != nil {
		return err
	}
	err = func() error {
		old, err := readFile(path, maxCRL)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		data, err := change(old)
		if err != nil {
			return err
		}
		if err := readableAs(f, path, filepath.Join(filepath.Dir(path), like)); err != nil {
			return err
		}
		return writeSync(f, data)
	}()
	if err := errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(beside) // the first error is the one to know
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		_ = os.Remove(beside)
		return err
	}
	syncDir(filepath.Dir(path))
	return nil
}

// readableAs gives f the owner and mode of the first of the files that exists.
// Where the owner cannot be given away, everyone may read f instead.
func readableAs(f *os.File, files ...string) error {
	mode := os.FileMode(public)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		mode = info.Mode().Perm()
		if !keepOwner(f, info) {
			mode |= 0o444
		}
		break
	}
	return f.Chmod(mode)
}

// syncDir makes new names last, where the system can do that with a folder.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // not every system can
		_ = d.Close()
	}
}
