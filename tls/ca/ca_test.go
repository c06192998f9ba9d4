package ca

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tunnels/tls/internal/authority"
	"tunnels/tls/internal/certtext"
)

func mustInit(t *testing.T, names ...string) (dir string, r *Report) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "certs")
	r, err := Init(dir, names)
	if err != nil {
		t.Fatalf("Init: %v", err)
	}
	return dir, r
}

// contents returns all files in a folder, to check that nothing was written.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

func TestNeverOverwrites(t *testing.T) {
	for _, there := range []string{"ca.pem", "ca.key", "ca.crl", "issued", "server.pem", "server.key", "client.pem"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, there), []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := contents(t, dir)
		if _, err := Init(dir, []string{"vps"}); err == nil || !strings.Contains(err.Error(), there) {
			t.Errorf("Init next to %s = %v, want an error that names it", there, err)
		}
		if after := contents(t, dir); len(after) != 1 || after[there] != before[there] {
			t.Errorf("Init next to %s left %d files, want only the unchanged one", there, len(after))
		}
	}
	dir, _ := mustInit(t, "vps")
	before := contents(t, dir)
	if _, err := Init(dir, []string{"vps"}); err == nil || !strings.Contains(err.Error(), "nothing written") {
		t.Errorf("second Init = %v, want an error", err)
	}
	if _, err := IssueClient(dir, "client"); err == nil || !strings.Contains(err.Error(), "tunnels certs revoke client") {
		t.Errorf("IssueClient with the first client's name = %v, want an error that says how to get a new one", err)
	}
	for name, text := range contents(t, dir) {
		if before[name] != text {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestWriteAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "b"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := writeAll(dir, []newFile{{"a", private, []byte("1")}, {"b", private, []byte("2")}})
	if err == nil {
		t.Error("writeAll over an existing file: no error")
	}
	if got := contents(t, dir); len(got) != 1 || got["b"] != "precious" {
		t.Errorf("failed writeAll left %v, want only b, unchanged", got)
	}
}

func TestRevokeKeepsUnreadableFiles(t *testing.T) {
	dir, _ := mustInit(t, "127.0.0.1")
	path := filepath.Join(dir, crlFile)
	if err := os.WriteFile(path, []byte("broken"), public); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	if _, err := Revoke(dir, "client"); err == nil {
		t.Error("Revoke with a broken list: no error")
	}
	if _, err := List(dir); err == nil {
		t.Error("List with a broken list: no error")
	}
	if err := os.WriteFile(path+".new", nil, public); err != nil {
		t.Fatal(err)
	}
	before["ca.crl.new"] = ""
	if _, err := Revoke(dir, "client"); err == nil || !strings.Contains(err.Error(), "ca.crl.new exists") {
		t.Errorf("concurrent Revoke = %v, want an error that says so", err)
	}
	for name, text := range contents(t, dir) {
		if old, ok := before[name]; !ok || old != text {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestRevokeExpired(t *testing.T) {
	now := time.Now()
	all := []Issued{{Serial: "a", Role: authority.ClientRole, Names: []string{"laptop"}, NotAfter: now.Add(-time.Hour)}}
	if _, err := choose(all, "laptop", now); err == nil || !strings.Contains(err.Error(), "expired on "+certtext.Day(now.Add(-time.Hour))) {
		t.Errorf("choose for an expired certificate = %v, want an error that says when", err)
	}
}
