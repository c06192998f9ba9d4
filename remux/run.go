package remux

// splitter is where the reader stands in the stream of frames.
type splitter struct {
	session *Session // whose payload comes; nil: nobody's
	left    int      // of that payload
	started bool     // the first frame has come
	run     run
}

// run is payload of one session that came together, in one frame behind the
// other. An application that gets it at once is woken once.
type run struct {
	of     *Session // nil: there is none
	pieces [][]byte
	len    int
}

// runMax bounds the pieces of a run: what comes in more is not bulk.
const runMax = 64

// add puts payload of the session in the run.
func (s *splitter) add(p []byte) {
	if s.run.of != s.session || len(s.run.pieces) == runMax {
		s.flush()
	}
	if s.session == nil { // it never was there, or has just ended
		return
	}
	s.run.of = s.session
	s.run.pieces = append(s.run.pieces, p)
	s.run.len += len(p)
}

// flush gives the run to its session.
func (s *splitter) flush() {
	r := &s.run
	if r.of == nil {
		return
	}
	if !r.of.receive(r.pieces, r.len) && s.session == r.of {
		s.session = nil
	}
	clear(r.pieces)
	r.of, r.pieces, r.len = nil, r.pieces[:0], 0
}
