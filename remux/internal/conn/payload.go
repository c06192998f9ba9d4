package conn

// demux is the reader's position in the stream of frames. The conn's reader owns it.
type demux struct {
	session *Session // whose payload comes, or nil if it is dropped
	left    int      // of that payload
	started bool     // the first frame has come
	payload payload
}

// payload is what came together for one session, in consecutive frames. An
// application that gets it at once is woken once.
type payload struct {
	of     *Session // nil if there is none
	pieces [][]byte
	len    int
}

// piecesMax bounds the pieces of a payload: more, smaller ones are not bulk.
const piecesMax = 64

// add appends bytes of the session to the payload.
func (d *demux) add(p []byte) {
	if d.payload.of != d.session || len(d.payload.pieces) == piecesMax {
		d.flush()
	}
	if d.session == nil { // unknown, or it has just ended
		return
	}
	d.payload.of = d.session
	d.payload.pieces = append(d.payload.pieces, p)
	d.payload.len += len(p)
}

// flush hands the payload to its session.
func (d *demux) flush() {
	r := &d.payload
	if r.of == nil {
		return
	}
	if !r.of.receive(r.pieces, r.len) && d.session == r.of {
		d.session = nil
	}
	clear(r.pieces)
	r.of, r.pieces, r.len = nil, r.pieces[:0], 0
}
