//go:build !linux

package role

import "time"

func nap(d time.Duration) { time.Sleep(d) }
