package remux_test
import ("testing";"io";"tunnels/remux";"strings";"time";"fmt")
func TestDbg(t *testing.T){
	s := newServer(t, remux.Config{})
	p := s.raw()
	p.write(hello(1))
	fmt.Println(p.wantHello())
	p.write(open(1))
	x := s.accept("open")
	go func(){ n,err:=io.Copy(io.Discard, x); fmt.Println("copy",n,err)}()
	sent:=0
	lim:=make(chan uint64,100); lim<-65536
	go func(){ for { f,err:=p.next(); fmt.Println(f,err,sent); if err!=nil {return}
	  if f.is(2) { var n uint64; for _, b := range f.payload[3:] { n=n<<8|uint64(b)}; lim<-n}
	}}()
	for l:=range lim {
	for sent+65535<=int(l) { sent+=65535; p.write(data(1, strings.Repeat("x", 65535)))}
	if sent>8<<20 {break}
	select { case n:=<-lim: lim<-n; case <-time.After(3*time.Second): fmt.Println("stuck", l, sent); return}
	}
}
