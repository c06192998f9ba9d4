package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"testing"
)

// errorLines lists every message logged at erro, with a description of its arguments.
// Alerts are sent off the machine, so none may name a target or quote an application's
// data.
var errorLines = map[string]string{
	"%v":                         "a listener that cannot accept: its address and the system's error",
	"cannot start: %v":           "configuration and listeners",
	"cannot reach server %s: %s": "a configured server and its error",
	"accepting clients: %v":      "a listener that cannot accept",
	"reloading %s failed: %v; keeping the previous ones":                             "names of certificate files, or the users file",
	"reloading %s failed: %s; keeping the previous ones":                             "the rules file and lines in it",
	"%s: reloading %s failed: %v; keeping the previous ones":                         "names of certificate files",
	"a request could not be read because of a bug in tunnels; see the previous line": "nothing",
}

// TestErrorLinesNameNoTarget checks that every message logged at erro is in the table.
// The logger itself handles the reasons for closed sessions; see package sla.
func TestErrorLinesNameNoTarget(t *testing.T) {
	found := map[string]bool{}
	err := fs.WalkDir(os.DirFS(root), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && file != "." && (name[0] == '.' || name == "testdata" || name == "sla" || file == "internal/bench") {
			return filepath.SkipDir
		}
		if ok, _ := path.Match("*_test.go", d.Name()); d.IsDir() || ok || path.Ext(file) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, filepath.Join(root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			if called, ok := call.Fun.(*ast.SelectorExpr); !ok || called.Sel.Name != "Error" {
				return true
			}
			text := "not a constant"
			if lit, ok := call.Args[0].(*ast.BasicLit); ok {
				text, _ = strconv.Unquote(lit.Value)
			}
			if _, ok := errorLines[text]; !ok {
				t.Errorf("%s: a message at erro that is not in the table: %q", fset.Position(call.Pos()), text)
			}
			found[text] = true
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for text := range errorLines {
		if !found[text] {
			t.Errorf("%q is in the table but not logged", text)
		}
	}
}
