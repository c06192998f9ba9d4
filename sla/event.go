package sla

// Opened increments the count of cat and logs the event. The id may contain any bytes.
// Only the first Fields is used, as in all methods with this parameter.
func (l *Logger) Opened(cat Category, id string, more ...Fields) {
	level := categories[cat].level
	c := &l.counts[cat]
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n.Add(1)
	if l.Enabled(level) {
		l.event(level, n, record{cat: cat.String(), sign: '+', id: id, fields: first(more)})
	}
}

// Closed decrements the count of cat and logs the event: at the category's own level if
// err is nil, otherwise at erro with the error's text as the reason. The id and the
// error's text may contain any bytes.
func (l *Logger) Closed(cat Category, id string, err error, more ...Fields) {
	level := categories[cat].level
	if err != nil {
		level = LevelError
	}
	c := &l.counts[cat]
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n.Add(-1)
	if !l.Enabled(level) {
		return
	}
	r := record{cat: cat.String(), sign: '-', id: id, fields: first(more)}
	if err != nil {
		r.reason, r.told = quoteReason(err.Error()), toldOf(err)
	}
	l.event(level, n, r)
}

// ClosedAs is like Closed, but the caller chooses the level: for example, LevelInfo for
// a close that the application caused, even though there is a reason. An empty reason
// is omitted. The id and the reason may contain any bytes.
func (l *Logger) ClosedAs(cat Category, id string, level Level, reason string, more ...Fields) {
	c := &l.counts[cat]
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n.Add(-1)
	if !l.Enabled(level) {
		return
	}
	if reason != "" {
		reason = quoteReason(reason)
	}
	l.event(level, n, record{cat: cat.String(), sign: '-', id: id, reason: reason, fields: first(more)})
}

// Count returns how many connections or sessions of category cat are open.
func (l *Logger) Count(cat Category) int { return int(l.counts[cat].n.Load()) }

// event logs an event after which n are open. The caller holds the category's lock.
func (l *Logger) event(level Level, n int64, r record) {
	r.id, r.count, r.fields = quoteID(r.id), n, r.fields.quoted()
	l.log(level, r)
}

func first(more []Fields) Fields {
	if len(more) == 0 {
		return Fields{}
	}
	return more[0]
}
