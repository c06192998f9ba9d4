// Command tunnels is a SOCKS5 and HTTP proxy on one machine and its exit on another.
//
//	tunnels server -server.addr :443 …         the exit
//	tunnels client -server.addr HOST:443 …     the proxy
//	tunnels certs init HOST                    the certificates both need
//	tunnels users add FILE NAME                who may use the proxy
//	tunnels check …                            what is wrong with a configuration
//	tunnels bench                              how fast it is, beside others
//	tunnels version
package main

import (
	"os"

	"tunnels/internal/cli"
)

func main() { os.Exit(cli.Main()) }
