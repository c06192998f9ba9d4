// Command tunnels is a SOCKS5 and HTTP proxy on one machine and its exit on another.
//
//	tunnels server -server.addr :443 …         the exit
//	tunnels client -server.addr HOST:443 …     the proxy
//	tunnels certs init HOST                    create the certificates both need
//	tunnels users add FILE NAME                add a user of the proxy
//	tunnels check …                            validate a configuration and test the connection
//	tunnels bench                              compare the speed with other proxies
//	tunnels version
package main

import (
	"os"

	"tunnels/internal/cli"
)

func main() { os.Exit(cli.Main()) }
