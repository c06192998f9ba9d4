package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tunnels/internal/bench/role"
	"tunnels/internal/netpath"
)

// TestSmoke runs every case with real child processes and requires every figure.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "tunnels")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "tunnels").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	file := filepath.Join(dir, "lines.jsonl")
	cases := "*"
	if p, err := netpath.New(netpath.Config{}); err != nil {
		t.Logf("without the cases over a path: %v", err)
		cases = ""
	} else {
		p.Close()
	}
	var out, progress bytes.Buffer
	if err := Run(ctx, []string{"-smoke", "-cases", cases, "-targets", "-bin", bin, "-json", file, "-svg", filepath.Join(dir, "chart.svg"), "-md", filepath.Join(dir, "table.md")}, "test", &out, &progress); err != nil {
		t.Fatalf("Run: %v\n%s%s", err, &progress, &out)
	}
	got := make(map[string]float64)
	judged := false
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var s struct {
			Type, Case, Figure, System, Verdict string
			Median                              float64
		}
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		if s.Type == "summary" {
			got[s.Case+" "+s.Figure+" "+s.System] = s.Median
			judged = judged || s.Verdict != ""
		}
	}
	for _, s := range allSystems()[:4] {
		for _, c := range allCases() {
			for _, f := range c.figures {
				key := c.name + " " + f.name + " " + s.name
				absent := c.path != nil && cases == "" || s.name == oursUnlimited || !s.suits(c) || ((s.direct || runtime.GOOS != "linux") && (f == cpuGiB || f == cpuOp || f == resident))
				if v, ok := got[key]; ok == absent || (!absent && v <= 0 && f.name != "kib") {
					t.Errorf("figure %s = %g, %v; want one: %v", key, v, ok, !absent)
				}
			}
		}
	}
	if judged || strings.Contains(out.String(), "Targets:") {
		t.Error("a smoke run has verdicts, want none")
	}
}

// TestFailedRepetition: a failing proxy is reported as failed.
func TestFailedRepetition(t *testing.T) {
	a, err := role.Serve("127.0.0.1:0", func(_ *role.Acceptor, c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 3))
		c.Write([]byte{5, 0})
		io.ReadFull(c, make([]byte, 10))
		c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var out bytes.Buffer
	err = Run(t.Context(), []string{"-smoke", "-cases", "down1", "-systems", "direct", "-vs", "socks5://" + a.Addr()}, "test", &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "1 of 2 repetitions failed") {
		t.Errorf("Run = %v, want 1 of 2 repetitions failed", err)
	}
	for _, want := range []string{"1 failed", "FAILED: down1", "code 5"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, &out)
		}
	}
}

// TestStopped: a canceled run returns promptly, with the results so far.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	r, w := io.Pipe()
	go func() {
		r.Read(make([]byte, 1)) // the first case is done
		cancel()
		io.Copy(io.Discard, r)
	}()
	var out bytes.Buffer
	err := Run(ctx, []string{"-smoke", "-n", "1", "-systems", "direct,tls-relay"}, "test", &out, w)
	w.Close()
	if err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("Run = %v, want a canceled run", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	if !strings.Contains(out.String(), "down1") {
		t.Errorf("the report lacks the results so far:\n%s", &out)
	}
}
