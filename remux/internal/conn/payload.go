package conn

// demux is the reader's position in the stream of frames. The conn's reader owns it.
type demux struct {
	conn    *Conn
	session *Session // whose payload is being read, or nil if it is dropped
	left    int      // bytes of that payload still to be read
	started bool     // the first frame has been received
	payload payload
}

// payload collects consecutive frames of one session that arrived together, so that its
// application is woken only once.
type payload struct {
	of     *Session // nil if empty
	pieces [][]byte
	len    int
}

// piecesMax limits the pieces of a payload. If there were more, they would be too small
// to be bulk data.
const piecesMax = 64

// add appends bytes of the session to the payload.
func (d *demux) add(p []byte) {
	if d.payload.of != d.session || len(d.payload.pieces) == piecesMax {
		d.flush()
	}
	if d.session == nil { // unknown, or just ended
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
	if !r.of.Receive(d.conn, r.pieces, r.len) && d.session == r.of {
		d.session = nil
	}
	clear(r.pieces)
	r.of, r.pieces, r.len = nil, r.pieces[:0], 0
}
