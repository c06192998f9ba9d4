package sockio

import (
	"bytes"
	"errors"
	"testing"
)

// countingWriter counts writes; it fails after limit bytes.
type countingWriter struct {
	got    bytes.Buffer
	writes int
	limit  int
}

var errLimit = errors.New("limit")

func (w *countingWriter) Write(p []byte) (int, error) {
	w.writes++
	if w.limit > 0 && w.got.Len()+len(p) > w.limit {
		n := w.limit - w.got.Len()
		w.got.Write(p[:n])
		return n, errLimit
	}
	return w.got.Write(p)
}

func TestGather(t *testing.T) {
	record := func(n int, with byte) []byte { return bytes.Repeat([]byte{with}, n) }
	tests := []struct {
		name    string
		records [][]byte
		writes  int
	}{
		{"none", nil, 0},
		{"one", [][]byte{record(100, 1)}, 1},
		{"a batch", [][]byte{record(16406, 1), record(16406, 2), record(16406, 3), record(16406, 4)}, 1},
		{"more than fits", [][]byte{record(gatherSize-1, 1), record(2, 2)}, 2},
		{"one that never fits", [][]byte{record(10, 1), record(gatherSize+1, 2), record(10, 3)}, 3},
	}
	for _, tt := range tests {
		var g Gather
		var w countingWriter
		var want []byte
		g.Begin(gatherSize)
		for _, r := range tt.records {
			want = append(want, r...)
			if n, err := g.Write(&w, r); n != len(r) || err != nil {
				t.Errorf("%s: Write = %d, %v, want %d", tt.name, n, err, len(r))
			}
		}
		if err := g.Flush(&w); err != nil {
			t.Errorf("%s: Flush: %v", tt.name, err)
		}
		if !bytes.Equal(w.got.Bytes(), want) || w.writes != tt.writes {
			t.Errorf("%s: %d bytes in %d writes, want %d in %d", tt.name, w.got.Len(), w.writes, len(want), tt.writes)
		}
	}
}

// TestGatherBroken checks that no data follows a write that failed partway.
func TestGatherBroken(t *testing.T) {
	var g Gather
	w := countingWriter{limit: 150}
	g.Begin(gatherSize)
	g.Write(&w, make([]byte, 100))
	g.Write(&w, make([]byte, 100))
	if err := g.Flush(&w); !errors.Is(err, errLimit) {
		t.Errorf("Flush = %v, want the writer's error", err)
	}
	if _, err := g.Write(&w, make([]byte, 10)); !errors.Is(err, errLimit) {
		t.Errorf("Write after it = %v, want the same error", err)
	}
	if w.got.Len() != 150 || w.writes != 1 {
		t.Errorf("%d bytes in %d writes were sent, want 150 in 1", w.got.Len(), w.writes)
	}
}
