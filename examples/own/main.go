// Command own runs a client and its server in one process, built from the packages:
// applications using socks5h://127.0.0.1:1080 reach their targets through it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"sync"

	"tunnels/eagersocks"
	"tunnels/remux"
	"tunnels/tls"
)

func main() {
	socks := flag.String("socks", "127.0.0.1:1080", "address for applications")
	exit := flag.String("exit", "127.0.0.1:4430", "address of the server")
	flag.Parse()
	mine, yours, err := tls.Throwaway("127.0.0.1") // temporary certificates, only in memory
	check(err)
	server, err := tls.NewServer(tls.Config{Material: mine})
	check(err)
	client, err := tls.NewClient(tls.Config{Material: yours})
	check(err)

	requests, err := eagersocks.Listen("remux", *exit, eagersocks.WithListen(func(_ context.Context, _, address string) (eagersocks.Acceptor, error) {
		return remux.Listen("tls", address, remux.Config{Listen: server.Listen})
	}))
	check(err)
	go serve(requests, func(req *eagersocks.Request) (net.Conn, error) { // the exit: connects to targets
		return net.Dial("tcp", req.Target.String())
	})

	pool, err := remux.NewDialer("tls", *exit, remux.Config{Dial: client.Dial})
	check(err)
	apps, err := eagersocks.ListenSocks("tcp", *socks)
	check(err)
	fmt.Println("socks5h://" + *socks)
	serve(apps, func(req *eagersocks.Request) (net.Conn, error) { // the client: connects to the exit
		session, err := pool.Dial()
		if err != nil {
			return nil, err
		}
		ask := eagersocks.Request{Command: req.Command, Target: req.Target}
		b, err := ask.AppendBinary(nil)
		if err == nil {
			_, err = session.Write(append(b, req.Early()...)) // followed by any data already received
		}
		return session, err
	})
}

// serve connects each request to the connection that dial returns for it.
func serve(from eagersocks.Listener, dial func(*eagersocks.Request) (net.Conn, error)) {
	for {
		near, req, err := from.Accept()
		check(err)
		go func() {
			far, err := dial(req)
			if err != nil {
				_ = req.Refuse(1, err.Error())
				return
			}
			_ = req.Reply()
			var there sync.WaitGroup
			there.Go(func() { pass(far, near) })
			pass(near, far)
			there.Wait()
			far.Close()
			near.Close()
		}()
	}
}

// pass copies data in one direction, then passes on the end of file.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
