module tunnels

go 1.26.0

require (
	github.com/sirupsen/logrus v1.10.2 // indirect
	github.com/things-go/go-socks5 v0.1.3 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	gopkg.in/natefinch/lumberjack.v2 v2.2.1 // indirect
)
