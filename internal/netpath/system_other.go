//go:build !linux

package netpath

import (
	"errors"
	"fmt"
	"os"
	"time"
)

var errSystem = fmt.Errorf("needs Linux: %w", errors.ErrUnsupported)

func onFirstThread() bool            { return false }
func unshareNet() (*os.File, error)  { return nil, errSystem }
func enterNet(*os.File) error        { return errSystem }
func setUp(string) (*os.File, error) { return nil, errSystem }
func newAlarm() (*alarm, error)      { return nil, errSystem }

type alarm struct{}

func (*alarm) set(time.Duration) {}
func (*alarm) wait() bool        { return false }
func (*alarm) close()            {}
