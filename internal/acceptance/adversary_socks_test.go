//go:build unix

package acceptance

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tunnels/internal/testnet"
)

// socksFoes returns invalid greetings and requests with the allowed replies.
func socksFoes(target string) map[string]struct {
	say  string
	told []string // allowed replies, or prefixes of them; "" means no reply
} {
	ap := address(strings.Split(target, ":")[0], 0)
	ip, port := string(ap[1:5]), string(address("x", mustPort(target))[3:])
	hello, ok := "\x05\x01\x00", "\x05\x00"
	type foes = map[string]struct {
		say  string
		told []string
	}
	all := foes{
		"version 0":             {"\x00\x01\x00", []string{""}},
		"version 6":             {"\x06\x01\x00", []string{""}},
		"no methods":            {"\x05\x00", []string{"\x05\xff", ""}},
		"GSSAPI only":           {"\x05\x01\x01", []string{"\x05\xff"}},
		"password unasked":      {"\x05\x01\x02\x01\x01a\x01b", []string{"\x05\xff"}},
		"version in request":    {hello + "\x04\x01\x00\x01" + ip + port, []string{ok + "\x05\x01", ok}},
		"command 0":             {hello + "\x05\x00\x00\x01" + ip + port, []string{ok + "\x05\x07"}},
		"BIND":                  {hello + "\x05\x02\x00\x01" + ip + port, []string{ok + "\x05\x07"}},
		"command 255":           {hello + "\x05\xff\x00\x01" + ip + port, []string{ok + "\x05\x07"}},
		"address type 0":        {hello + "\x05\x01\x00\x00" + ip + port, []string{ok + "\x05\x08"}},
		"address type 2":        {hello + "\x05\x01\x00\x02" + ip + port, []string{ok + "\x05\x08"}},
		"address type 255":      {hello + "\x05\x01\x00\xff" + ip + port, []string{ok + "\x05\x08"}},
		"port 0":                {hello + "\x05\x01\x00\x01" + ip + "\x00\x00", []string{ok + "\x05\x01", ok + "\x05\x08", ok}},
		"empty name":            {hello + "\x05\x01\x00\x03\x00" + port, []string{ok + "\x05\x01", ok + "\x05\x04", ok + "\x05\x08", ok}},
		"SOCKS4 BIND":           {"\x04\x02" + port + ip + "\x00", []string{"\x00\x5b"}},
		"SOCKS4 command 9":      {"\x04\x09" + port + ip + "\x00", []string{"\x00\x5b"}},
		"SOCKS4 port 0":         {"\x04\x01\x00\x00" + ip + "\x00", []string{"\x00\x5b", ""}},
		"SOCKS4 endless user":   {"\x04\x01" + port + ip + strings.Repeat("u", 1<<20), []string{"\x00\x5b", ""}},
		"SOCKS4a endless name":  {"\x04\x01" + port + "\x00\x00\x00\x01u\x00" + strings.Repeat("n", 1<<20), []string{"\x00\x5b", ""}},
		"SOCKS4a no name":       {"\x04\x01" + port + "\x00\x00\x00\x01u\x00\x00", []string{"\x00\x5b", ""}},
		"SOCKS4a line in name":  {"\x04\x01" + port + "\x00\x00\x00\x01u\x00a\r\nb\x00", []string{"\x00\x5b", ""}},
		"SOCKS4a colon in name": {"\x04\x01" + port + "\x00\x00\x00\x01u\x00" + target + "\x00", []string{"\x00\x5b", ""}},
	}
	for _, name := range []string{"a b", "a\x00b", "a\r\nb", "a\nb", "[::1", "a:1", "\xff\xfe", "::1%lo", strings.Repeat(".", 255), " 127.0.0.1", "127.0.0.1\x00.example"} {
		all[fmt.Sprintf("name %.20q", name)] = struct {
			say  string
			told []string
		}{hello + "\x05\x01\x00" + string(address(name, 1)[:2+len(name)]) + port, []string{ok + "\x05\x01", ok + "\x05\x04", ok + "\x05\x08", ok}}
	}
	return all
}

func mustPort(addr string) (p uint16) {
	_, s, _ := net.SplitHostPort(addr)
	fmt.Sscan(s, &p)
	return p
}

// TestAdversarySocksGarbage checks that an invalid greeting or request never gets a
// success reply, opens no connection and does not block others.
func TestAdversarySocksGarbage(t *testing.T) {
	t.Parallel()
	_, client := startPair(t, "-eagersocks.eager=off", "-remux.idle.max.sec=1")
	sink := testnet.Sink(t)
	end := goodUser(t, client.Addr)
	back := client.wantBack(64)
	for name, f := range socksFoes(sink.Addr) {
		told, how := foe(t, client.Addr, []byte(f.say), true, patience)
		good := slices.ContainsFunc(f.told, func(want string) bool {
			return string(told) == want || len(want) > 3 && strings.HasPrefix(string(told), want) || want == "\x00\x5b" && strings.HasPrefix(string(told), want)
		})
		if !good || how == stays {
			t.Errorf("%s: received % .20x (%s), want one of %q and EOF", name, told, how, f.told)
		}
	}
	if n := sink.Accepted(); n != 0 {
		t.Errorf("%d of them reached the target", n)
	}
	// A valid request succeeds, which shows that the others failed because they were
	// invalid.
	if told, _ := foe(t, client.Addr, append([]byte("\x05\x01\x00\x05\x01\x00"), address("127.0.0.1", mustPort(sink.Addr))...), true, patience); !strings.HasPrefix(string(told), "\x05\x00\x05\x00") {
		t.Errorf("a valid request: received % x", told)
	}
	end()
	back()
}

// TestAdversarySocksPartial checks that thousands of applications that stall in the
// middle of a greeting, and some that send noise, use few resources and do not block
// others.
func TestAdversarySocksPartial(t *testing.T) {
	t.Parallel()
	_, client := startPair(t, "-remux.idle.max.sec=1")
	back := client.wantBack(64)
	end := goodUser(t, client.Addr)
	whole := [][]byte{
		append([]byte("\x05\x02\x00\x02\x05\x01\x00"), address("half.example", 80)...),
		[]byte("\x04\x01\x00\x50\x00\x00\x00\x01user\x00half.example\x00"),
		[]byte("CONNECT half.example:80 HTTP/1.1\r\nHost: half.example\r\n\r\n"),
		[]byte("POST http://half.example/ HTTP/1.1\r\nHost: half.example\r\nContent-Length: 5\r\n\r\n"),
	}
	var all []net.Conn
	for _, w := range whole {
		for i := range len(w) {
			for range 10 {
				c, err := net.Dial("tcp", client.Addr)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, c)
				_, _ = c.Write(w[:i])
			}
		}
	}
	if err := askSite(client.Addr, "http", web(t, serveText("good")).URL); err != nil {
		t.Errorf("a request during %d incomplete greetings: %v", len(all), err)
	}
	for _, c := range all {
		c.Close()
	}
	random := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	for i := range 200 {
		b := make([]byte, 1+random.IntN(3000))
		for k := range b {
			b[k] = byte(random.Uint32())
		}
		b[0] = []byte{4, 5, 'G', b[0]}[i%4]
		wg.Go(func() { foe(t, client.Addr, b, true, 3*time.Second) })
	}
	wg.Wait()
	end()
	back()
}
