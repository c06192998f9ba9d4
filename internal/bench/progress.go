package bench

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows the progress of the run: on a terminal as a single updating line,
// otherwise as one line per case.
type progress struct {
	w        io.Writer
	terminal bool
	began    time.Time
	all, n   int // repetitions: total and done
}

func newProgress(w io.Writer, all int) *progress {
	p := &progress{w: w, all: all, began: time.Now()}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			p.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return p
}

func (p *progress) show(c *caseOf, s *system, rep, n int) {
	if !p.terminal {
		return
	}
	left := ""
	if spent := time.Since(p.began); p.n > 0 {
		left = fmt.Sprintf(", about %s left", (spent / time.Duration(p.n) * time.Duration(p.all-p.n)).Round(10*time.Second))
	}
	fmt.Fprintf(p.w, "\r\x1b[K%3d %%  %s: %s, %d of %d%s", 100*p.n/max(p.all, 1), c.title, s.name, rep, n, left)
}

func (p *progress) done() { p.n++ }

func (p *progress) caseDone(c *caseOf, took time.Duration) {
	if !p.terminal {
		fmt.Fprintf(p.w, "%3d %%  %s: %s\n", 100*p.n/max(p.all, 1), c.title, took.Round(100*time.Millisecond))
	}
}

func (p *progress) clear() {
	if p.terminal {
		io.WriteString(p.w, "\r\x1b[K")
	}
}
