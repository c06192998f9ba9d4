package recv

// Seat is a session's place on a conn.
type Seat[C comparable] struct {
	Conn   C
	Number uint16
}

// Move is an unfinished move at the acceptor. Half.mu guards it until TakeMove.
type Move[C comparable] struct {
	From, To     Seat[C]
	Joined, Left bool // JOIN or LEAVE has arrived
}

// Progress is the result of NoteMove.
type Progress uint8

// The results of NoteMove.
const (
	MoveWaits    Progress = iota // the other frame has yet to arrive
	MoveComplete                 // both frames have arrived
	MoveOver                     // the session has ended
	MoveBad                      // the frame does not belong to a move of this session
	MoveStray                    // like MoveBad, and the session has no business on the new conn
)

// NoteMove records that one of the two frames of a move has arrived: LEAVE, or JOIN.
func (h *Half[C]) NoteMove(from, to Seat[C], leave bool) Progress {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch m := h.move; {
	case h.over:
		return MoveOver
	case m == nil && h.source == from.Conn:
		h.move = &Move[C]{From: from, To: to}
	case m == nil, m.To != to:
		return MoveStray
	case m.From != from, leave && m.Left, !leave && m.Joined:
		return MoveBad
	}
	h.move.Left = h.move.Left || leave
	h.move.Joined = h.move.Joined || !leave
	if h.move.Left && h.move.Joined {
		return MoveComplete
	}
	return MoveWaits
}

// JoinedMove returns the unfinished move if its JOIN has arrived and the session's end is
// held.
func (h *Half[C]) JoinedMove() (m Move[C], ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.move == nil || !h.move.Joined || !h.heldEnd.Load() {
		return m, false
	}
	return *h.move, true
}

// TakeMove ends the unfinished move of a session that has ended, and discards what was
// held. It returns nil if there is no move.
func (h *Half[C]) TakeMove() *Move[C] {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.move
	h.move = nil
	h.flow.Budget.Free(h.held.data.Discard())
	return m
}
