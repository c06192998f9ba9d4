//go:build linux

package acceptance

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// TestApt checks that apt-get can read a repository and fetch a package through the
// HTTP proxy.
func TestApt(t *testing.T) {
	t.Parallel()
	if lookup("apt-get") == "" || lookup("dpkg-deb") == "" {
		t.Skip("not on Debian")
	}
	server, client := startPair(t)
	dir := t.TempDir()
	repo := aptRepository(t, dir)
	site := web(t, http.FileServer(http.Dir(repo)).ServeHTTP)
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "out"} {
		if err := os.MkdirAll(in(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(in(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("sources.list", "deb [trusted=yes] "+site.URL+"/ ./\n")
	write("status", "")
	apt := func(args ...string) result {
		t.Helper()
		return job{Dir: in("out"), Env: []string{"LC_ALL=C"}}.run(t, "apt-get", append([]string{"-q", "-y",
			"-o", "Acquire::http::Proxy=http://" + client.Addr, "-o", "Acquire::Retries=0",
			"-o", "Dir::Etc::sourcelist=" + in("sources.list"), "-o", "Dir::Etc::sourceparts=-", "-o", "Dir::Etc::parts=-", "-o", "Dir::Etc::main=-",
			"-o", "Dir::State=" + in("state"), "-o", "Dir::State::status=" + in("status"), "-o", "Dir::Cache=" + in("cache"),
			"-o", "APT::Sandbox::User=", "-o", "APT::Architecture=all"}, args...)...).must(t)
	}
	apt("update")
	apt("download", "greeting")
	debs, _ := filepath.Glob(in("out/greeting_*.deb"))
	want, err := os.ReadFile(filepath.Join(repo, "greeting.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("fetched %v, want one package; %v", debs, err)
	}
	if got, err := os.ReadFile(debs[0]); err != nil || digest(got) != digest(want) {
		t.Errorf("fetched package: %d bytes, %v; want the %d bytes in the repository", len(got), err, len(want))
	}
	server.waitLog(`\[sock\] \+ ` + site.Listener.Addr().String())
}

// aptRepository creates a repository with one package, "greeting", and the lists needed
// by apt.
func aptRepository(t *testing.T, dir string) string {
	t.Helper()
	repo, pkg := filepath.Join(dir, "repo"), filepath.Join(dir, "pkg")
	for _, d := range []string{repo, filepath.Join(pkg, "DEBIAN"), filepath.Join(pkg, "usr/share/greeting")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	control := "Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@b.example>\nDescription: a greeting\n"
	write(filepath.Join(pkg, "DEBIAN/control"), []byte(control))
	write(filepath.Join(pkg, "usr/share/greeting/noise"), noise(1<<20))
	run(t, "dpkg-deb", "--root-owner-group", "-b", pkg, filepath.Join(repo, "greeting.deb")).must(t)
	deb, err := os.ReadFile(filepath.Join(repo, "greeting.deb"))
	if err != nil {
		t.Fatal(err)
	}
	packages := fmt.Appendf(nil, "%sFilename: ./greeting.deb\nSize: %d\nSHA256: %x\n\n", control, len(deb), sha256.Sum256(deb))
	write(filepath.Join(repo, "Packages"), packages)
	write(filepath.Join(repo, "Release"), fmt.Appendf(nil, "Date: Sat, 21 Nov 2026 00:00:00 UTC\nSHA256:\n %x %d Packages\n", sha256.Sum256(packages), len(packages)))
	return repo
}
