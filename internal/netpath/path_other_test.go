//go:build !linux

package netpath

import (
	"net"
	"testing"
)

func congestion(*testing.T, *net.TCPConn) string { return "" } // never called: there is no path
