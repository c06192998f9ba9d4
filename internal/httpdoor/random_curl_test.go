package httpdoor

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// fetched is a response as printed by curl, without the features that HTTP/1.0 lacks.
type fetched struct {
	status, lines string
	body          string
	clean         bool
}

// String implements fmt.Stringer.
func (f fetched) String() string {
	return fmt.Sprintf("%s %q, %d bytes %.50q, clean: %t", f.status, f.lines, len(f.body), f.body, f.clean)
}

func curlAnswer(t *testing.T, curl, target string, n int, a *randomAnswer, args ...string) fetched {
	head := t.TempDir() + "/head"
	args = append([]string{"-q", "-sS", "--max-time", "30", "-D", head, "-w", "\n%{http_code}", "--http" + a.version, "-X", a.method}, args...)
	if a.method == "HEAD" {
		args = append(args, "--head", "-o", "/dev/null")
	}
	out, err := exec.CommandContext(t.Context(), curl, append(args, fmt.Sprintf("http://%s/%d", target, n))...).Output()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	i := bytes.LastIndexByte(out, '\n')
	f := fetched{status: string(out[i+1:]), body: string(out[:i]), clean: err == nil}
	b, _ := os.ReadFile(head)
	for _, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSuffix(line, "\r")
		newer := strings.HasPrefix(line, "Link:") || strings.HasPrefix(line, "X-Trailer:") // from 1xx responses and chunks
		if line != "" && !hop(line) && !strings.HasPrefix(line, "HTTP/") && !(newer && a.version == "1.0") {
			f.lines += line + "\n"
		}
	}
	return f
}

// TestRandomAnswersByCurl checks that curl prints the same response with and without
// the proxy.
func TestRandomAnswersByCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal("curl is not installed: run scripts/setup.sh")
	}
	n, seed := randomRun(t, 60)
	answers := make([]*randomAnswer, n)
	for i := range answers {
		answers[i] = newRandomAnswer(rand.New(rand.NewPCG(seed, uint64(i))))
	}
	target, door := newRandomTarget(t, answers)
	for i, a := range answers {
		direct, through := curlAnswer(t, curl, target, i, a, "--noproxy", "*"), curlAnswer(t, curl, target, i, a, "-x", "http://"+door)
		if !a.clean && strings.HasPrefix(a.whole(), direct.body) && strings.HasPrefix(a.whole(), through.body) {
			direct.body, through.body = "", "" // how much of the body arrived depends on timing
			direct.clean = direct.clean && !a.lax()
			direct.lines = strings.TrimSuffix(direct.lines, "X-Trailer: 1\n") // the chunks are incomplete
		}
		if direct != through {
			t.Errorf("response %d, sent by the target as %.500q: directly %s, through the door %s", i, a.pieces, direct, through)
		}
	}
}

func (a *randomAnswer) whole() string { return string(a.body) }
