package conn

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

// TestLossAfterBytes checks that no bytes are lost if the conn is lost while the sink is
// processing them: the error follows the bytes consumed and those left to read.
func TestLossAfterBytes(t *testing.T) {
	for name, end := range map[string]func(s *Session){
		"lost while writing": func(s *Session) { s.origin.Conn.fail(errors.New("write: broken")) },
		"closed":             func(s *Session) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := pipePair(t)
				go func() {
					if s, err := far.Accept(); err == nil {
						io.Copy(struct{ io.Writer }{s}, s)
						s.Close()
					}
				}()
				s, err := near.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				entered, goOn := make(chan struct{}), make(chan struct{})
				s.SetSink(func(pieces [][]byte) int {
					close(entered)
					<-goOn
					return 2
				})
				s.Write([]byte("echo"))
				<-entered
				read := make(chan error, 1)
				var got []byte
				go func() {
					var err error
					got, err = io.ReadAll(s)
					read <- err
				}()
				end(s)
				synctest.Wait()
				select {
				case err := <-read:
					if name != "closed" {
						t.Fatalf("reading ended with %q, %v before the sink was done", got, err)
					}
					read <- err
				default:
					if s.OnReadable(func() {}) != true {
						t.Error("OnReadable returned false, so Read would not wait")
					}
				}
				close(goOn)
				err = <-read
				want := map[bool]string{true: "", false: "ho"}[name == "closed"]
				if string(got) != want || err == nil {
					t.Errorf("read %q, %v, want %q and an error", got, err, want)
				}
				synctest.Wait()
				if n, _, _ := s.origin.Conn.cfg.Budget.Usage(); n != 0 {
					t.Errorf("%d bytes of the budget are still in use", n)
				}
			})
		})
	}
}
