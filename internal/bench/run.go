package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"tunnels/internal/bench/load"
	"tunnels/internal/bench/report"
	"tunnels/internal/bench/role"
	"tunnels/internal/netpath"
)

// Run implements the verb: it runs the measurements selected by args and writes the
// report to stdout and progress to stderr. version is the version to report. Run
// returns early if ctx is done, and leaves no process behind. An error wrapping
// ErrUsage is about args; any other means that a repetition failed, and the report has
// still been written.
func Run(ctx context.Context, args []string, version string, stdout, stderr io.Writer) error {
	if role.Is(args) {
		return role.Run(args, os.Stdin, stdout)
	}
	o, err := parseOptions(args, stdout)
	if errors.Is(err, errHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.list {
		return list(o, stdout)
	}
	return measure(ctx, o, version, stdout, stderr)
}

// list prints the cases and the systems.
func list(o *options, w io.Writer) error {
	fmt.Fprintln(w, "Cases:")
	for _, c := range o.caseTable {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.title)
	}
	fmt.Fprintln(w, "Systems:")
	for _, s := range o.systemTable {
		state := "ready"
		if err := s.absent(); err != nil {
			state = err.Error()
		}
		if _, err := fmt.Fprintf(w, "  %-16s %s\n", s.name, state); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) absent() error {
	if s.missing == nil {
		return nil
	}
	return s.missing()
}

// measure runs the selected measurements and writes the report.
func measure(ctx context.Context, o *options, version string, stdout, stderr io.Writer) error {
	b, err := newBench(ctx, o, version, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	for _, c := range b.o.caseTable {
		if err = b.measureCase(ctx, c); err != nil {
			break // ctx is done
		}
	}
	b.progress.clear()
	rep := b.report()
	if werr := rep.Write(stdout, report.Files{JSON: o.json, SVG: o.svg, Markdown: o.md}); werr != nil {
		return werr
	}
	if err == nil && b.oursFailed() {
		err = fmt.Errorf("%d of %d repetitions failed", rep.Failed(), len(b.trials))
	}
	return err
}

// bench is a run of the benchmark. It is owned by one goroutine.
type bench struct {
	o        *options
	version  string
	w        *world
	origin   *process
	pool     load.Pool
	systems  []*system // the selected systems that are available
	notes    []string
	trials   []report.Outcome
	progress *progress
	began    time.Time
}

func newBench(ctx context.Context, o *options, version string, stderr io.Writer) (_ *bench, err error) {
	b := &bench{o: o, version: version, pool: load.NewPool(), began: time.Now()}
	limit, err := raiseLimits()
	if err != nil {
		return nil, err
	}
	for _, s := range o.systemTable {
		if err := s.absent(); err == nil {
			b.systems = append(b.systems, s)
		} else if o.named || s.running {
			return nil, fmt.Errorf("system %s: %w", s.name, err)
		} else {
			b.notes = append(b.notes, fmt.Sprintf("%s was not measured: %v", s.name, err))
		}
	}
	b.w = &world{tunnels: o.tunnels, pipelined: o.pipelined, idle: o.durations.idle, congestion: o.congestion}
	if slices.ContainsFunc(o.caseTable, func(c *caseOf) bool { return c.path != nil }) {
		if err := b.tryPath(); err != nil {
			return nil, err
		}
	}
	if most := int(limit)/2 - 500; b.w.idle > most { // one process holds both ends of a session
		b.notes = append(b.notes, fmt.Sprintf("%d idle sessions instead of %d: the file descriptor limit is %d", most, b.w.idle, limit))
		b.w.idle = most
	}
	if b.w.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.w.tunnels == "" {
		b.w.tunnels = b.w.self
	}
	if b.w.dir, err = os.MkdirTemp("", "tunnels-bench-"); err != nil {
		return nil, err
	}
	if b.origin, err = b.w.spawn(ctx, site{}, role.Origin, site{}.host(), &b.w.origin); err != nil {
		os.RemoveAll(b.w.dir)
		return nil, err
	}
	b.progress = newProgress(stderr, b.planned())
	return b, nil
}

func (b *bench) close() {
	b.origin.stop()
	os.RemoveAll(b.w.dir)
}

// planned returns how many repetitions will run.
func (b *bench) planned() int {
	n := 0
	for _, c := range b.o.caseTable {
		for _, s := range b.systems {
			if s.suits(c) {
				n += b.o.n
			}
		}
	}
	return n
}

// measureCase runs the systems in turn. It returns an error only if ctx is done.
func (b *bench) measureCase(ctx context.Context, c *caseOf) error {
	runs := make(map[*system]*run) // systems that are running
	defer func() {
		for _, r := range runs {
			r.stop()
		}
	}()
	began := time.Now()
	for rep := range b.o.n {
		for _, s := range b.systems {
			if !s.suits(c) {
				continue
			}
			b.progress.show(c, s, rep+1, b.o.n)
			out := report.Outcome{Case: c.name, System: s.name, Rep: rep + 1}
			var err error
			if out.Figures, err = b.repetition(ctx, c, s, rep, runs); err != nil {
				out.Error = err.Error()
			}
			if ctx.Err() != nil {
				return fmt.Errorf("stopped: %w", context.Cause(ctx))
			}
			b.trials = append(b.trials, out)
			b.progress.done()
		}
	}
	b.progress.caseDone(c, time.Since(began))
	return nil
}

// tryPath reports whether there can be a path with the congestion control to be used.
func (b *bench) tryPath() error {
	p, err := netpath.New(netpath.Config{})
	if err != nil {
		return err
	}
	defer p.Close()
	if b.w.congestion == "" {
		return nil
	}
	b.notes = append(b.notes, "congestion control for the path cases: "+b.w.congestion)
	return p.SetCongestion(b.w.congestion)
}

// repetition runs one repetition with a system, restarting it if the case requires that
// or it has failed.
func (b *bench) repetition(ctx context.Context, c *caseOf, s *system, rep int, runs map[*system]*run) (figures map[string]float64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.most(), errTooLong)
	defer cancel()
	r := runs[s]
	if r == nil {
		if r, err = s.launch(ctx, b.w, c, rep); err != nil {
			return nil, err
		}
		runs[s] = r
	}
	t := &trial{ctx: ctx, w: b.w, run: r, d: b.o.durations, pool: b.pool, figures: make(map[string]float64)}
	stop := context.AfterFunc(ctx, t.closeAll)
	defer stop()
	runtime.GC() // collect the garbage the load left in the previous repetition
	err = c.run(t)
	if err == nil && len(r.pids) > 0 {
		if bytes, err := residentMemory(r.pids); err == nil {
			t.figures["rss"] = float64(bytes) / (1 << 20)
		}
	}
	t.closeAll()
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if err != nil {
		for _, p := range r.procs {
			select {
			case <-p.ended:
				err = fmt.Errorf("%w (%s has exited; %s)", err, p.name, p.lastOutput())
			default:
			}
		}
	}
	if err != nil || c.fresh {
		r.stop()
		delete(runs, s)
	}
	if err != nil {
		return nil, err
	}
	return t.figures, nil
}
