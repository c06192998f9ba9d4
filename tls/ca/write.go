package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tunnels/tls/internal/crl"
	"tunnels/tls/internal/pemfile"
)

// newFile is a file to be created; it must not exist.
type newFile struct {
	name string
	mode os.FileMode
	data []byte
}

// writeAll writes all files or none, and never overwrites.
func writeAll(dir string, files []newFile) (written []string, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, path := range written {
			_ = os.Remove(path) // the first error matters more
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

// create writes a new file, completely or not at all; it must not exist.
func create(path string, mode os.FileMode, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err := errors.Join(writeSync(f, data), f.Close()); err != nil {
		_ = os.Remove(path) // the first error matters more
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

// replaceLocked replaces the content of a file that holds no secret with the result of
// change, which receives the old content (nil if there is no file). The new content is
// written to a temporary file and renamed, so that readers see either the old or the
// new content. Because the temporary file must not exist, two concurrent changes cannot
// overwrite each other.
//
// Users who could read the old file can read the new one, whatever this process's umask
// and user are: the new file gets the owner and mode of the old one or, if there was
// none, of the file named like in the same folder.
func replaceLocked(path, like string, change func(old []byte) ([]byte, error)) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // write to the symlink's target instead of replacing the symlink
	}
	beside := path + ".new"
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, public)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("lock file %s exists: another tunnels process is changing %s; if none is running, an earlier one was interrupted: remove the lock file and try again", beside, filepath.Base(path))
	}
	if err != nil {
		return err
	}
	err = func() error {
		old, err := pemfile.Read(path, crl.MaxSize)
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
		_ = os.Remove(beside) // the first error matters more
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		_ = os.Remove(beside)
		return err
	}
	syncDir(filepath.Dir(path))
	return nil
}

// readableAs sets the owner and mode of f to those of the first of the files that
// exists. If the owner cannot be set, f becomes readable by everyone instead.
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

// syncDir makes new names durable on systems that can sync a folder.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // not supported on all systems
		_ = d.Close()
	}
}
