package bench

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// ErrUsage is wrapped by errors the user can fix on the command line.
var ErrUsage = errors.New("usage")

// options holds the parsed command line.
type options struct {
	n                int
	cases, systems   string
	congestion       string // of cases over a path; empty means the kernel's default
	vs               []string
	quick, smoke     bool
	list, pipelined  bool
	targets          bool // show targets and verdicts
	tunnels          string
	json, svg, md    string
	caseTable        []*caseOf // selected cases
	systemTable      []*system // selected systems
	named            bool      // the user named the systems, so a missing one is an error
	durations        durations
	repetitionsGiven bool
}

const usage = `tunnels bench: compare SOCKS5 proxies on this machine.

  tunnels bench [options]

  -n N           repetitions of each case with each system [5; 3 with -quick]
  -cases GLOB    run only these cases; comma-separated patterns [all but path-*]
  -systems LIST  run only these systems, comma-separated [all installed]
  -vs URL        also measure the proxy at socks5://[user:password@]host:port,
                 which must run on this machine; may be repeated
  -quick         run only ours and tls-relay: shorter runs, 3 repetitions
  -smoke         run every case briefly, to check that it works
  -pipelined     send greeting and request together; not all proxies allow it
  -congestion NAME
                 TCP congestion control for the path-* cases, e.g. cubic or bbr
                 [the system's default]
  -bin FILE      binary to measure as "ours" [this one]
  -targets       show this project's performance goals and whether they were met
  -json FILE     write each repetition and each figure, one JSON object per line
  -svg FILE      write a chart
  -md FILE       write a Markdown table
  -list          list the cases and the systems

Systems: ours (default options), ours-unlimited (one connection for everything),
direct (no proxy), tls-relay (the reference: one TLS connection per session),
ssh (ssh -D with aes128-gcm), microsocks (no encryption, one process). Compare
chisel, gost or any other proxy by starting it and naming it with -vs.

The path-* cases run across two network namespaces with the kernel's own TCP;
they need Linux, and root or unshare -r.

A FILE of - is standard output. CPU time counts the proxy's processes only; for
-vs, only the process listening on that address.

Examples:
  tunnels bench -quick
  tunnels bench -cases 'down*,up*' -systems ours,tls-relay,ssh -n 9
  tunnels bench -vs socks5://127.0.0.1:1081 -svg chart.svg -md table.md
  tunnels bench -bin ./tunnels-before -cases open -json before.jsonl
`

// errHelp is returned after -h has printed the usage.
var errHelp = errors.New("help shown")

// parseOptions parses the command line.
func parseOptions(args []string, stdout io.Writer) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&o.n, "n", 5, "")
	fs.StringVar(&o.cases, "cases", "", "")
	fs.StringVar(&o.systems, "systems", "", "")
	fs.Func("vs", "", func(s string) error { o.vs = append(o.vs, s); return nil })
	fs.BoolVar(&o.quick, "quick", false, "")
	fs.BoolVar(&o.smoke, "smoke", false, "")
	fs.BoolVar(&o.pipelined, "pipelined", false, "")
	fs.BoolVar(&o.list, "list", false, "")
	fs.BoolVar(&o.targets, "targets", false, "")
	fs.StringVar(&o.congestion, "congestion", "", "")
	fs.StringVar(&o.tunnels, "bin", "", "")
	fs.StringVar(&o.json, "json", "", "")
	fs.StringVar(&o.svg, "svg", "", "")
	fs.StringVar(&o.md, "md", "", "")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(stdout, usage)
		return nil, errHelp
	case err != nil:
		return nil, fmt.Errorf("%w: bench: %v", ErrUsage, err)
	case fs.NArg() > 0 && fs.Arg(0) == "help":
		io.WriteString(stdout, usage)
		return nil, errHelp
	case fs.NArg() > 0:
		return nil, fmt.Errorf("%w: bench: %q is not an option; tunnels bench -h lists them", ErrUsage, fs.Arg(0))
	}
	fs.Visit(func(f *flag.Flag) { o.repetitionsGiven = o.repetitionsGiven || f.Name == "n" })
	if err := o.choose(); err != nil {
		return nil, fmt.Errorf("%w: bench: %w", ErrUsage, err)
	}
	return o, nil
}

// choose derives the remaining values from those given.
func (o *options) choose() error {
	o.durations = durations{warm: 150 * time.Millisecond, measure: 800 * time.Millisecond, slow: 1, settle: time.Second, later: 20, idle: 5000, objects: 60}
	standard := ""
	reps := o.n
	switch {
	case o.smoke:
		o.durations = durations{warm: 10 * time.Millisecond, measure: 40 * time.Millisecond, slow: 0.1, settle: 50 * time.Millisecond, later: 2, idle: 100, objects: 6}
		standard, reps = "ours,direct,tls-relay", 1
	case o.quick:
		o.durations.measure, o.durations.slow, o.durations.later, o.durations.idle = 450*time.Millisecond, 0.7, 16, 1500
		standard, reps = "ours,tls-relay", 3
	}
	if !o.repetitionsGiven {
		o.n = reps
	}
	if o.n < 1 || o.n > 1000 {
		return fmt.Errorf("-n %d: want 1 to 1000", o.n)
	}
	if err := o.chooseCases(); err != nil {
		return err
	}
	return o.chooseSystems(standard)
}

func (o *options) chooseCases() error {
	var names []string
	for _, c := range allCases() {
		names = append(names, c.name)
		if o.cases == "" && (c.path == nil || o.list) {
			o.caseTable = append(o.caseTable, c)
		}
		for _, pattern := range strings.Split(o.cases, ",") {
			ok, err := path.Match(pattern, c.name)
			if err != nil {
				return fmt.Errorf("-cases %q: %w", pattern, err)
			}
			if ok {
				o.caseTable = append(o.caseTable, c)
				break
			}
		}
	}
	if len(o.caseTable) == 0 {
		return fmt.Errorf("-cases %q matches none of %s", o.cases, strings.Join(names, ", "))
	}
	return nil
}

func (o *options) chooseSystems(standard string) error {
	list := o.systems
	o.named = list != ""
	if list == "" {
		list = standard
	}
	all := allSystems()
	if list == "" {
		o.systemTable = all
	} else {
		var names []string
		for _, s := range all {
			names = append(names, s.name)
		}
		for _, name := range strings.Split(list, ",") {
			i := slices.Index(names, name)
			if i < 0 {
				return fmt.Errorf("-systems %q is not one of %s; to measure another proxy, use -vs", name, strings.Join(names, ", "))
			}
			if !slices.Contains(o.systemTable, all[i]) {
				o.systemTable = append(o.systemTable, all[i])
			}
		}
	}
	for _, text := range o.vs {
		s, err := foreign(text)
		if err != nil {
			return err
		}
		o.systemTable = append(o.systemTable, s)
	}
	return nil
}
