// Package kin records which conns belong to the same client process, so that a session can
// move between them. It is independent of package conn.
package kin

import (
	"slices"
	"sync"

	"tunnels/remux/internal/frame"
)

// endedMax is how many ids of ended conns are remembered for each client process.
const endedMax = 64

// Name identifies a client process: the name in its certificate and its own random bits.
// A client cannot name the conns of another, because the certificate is part of it.
type Name struct {
	Client   string
	Instance frame.Instance
}

// Registry holds the conns of all clients. It is safe for concurrent use.
type Registry[C any] struct {
	mu   sync.Mutex       // a leaf: no other lock is taken while it is held
	kins map[Name]*kin[C] // guarded by mu
}

// kin is the conns of one client process. Registry.mu guards it.
type kin[C any] struct {
	conns map[uint32]C
	ended []uint32 // ids of conns that have ended, the oldest first
}

// New returns an empty Registry.
func New[C any]() *Registry[C] { return &Registry[C]{kins: map[Name]*kin[C]{}} }

// Add adds a conn. It returns false if the client already has one with this id.
func (r *Registry[C]) Add(name Name, id uint32, c C) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kins[name]
	if k == nil {
		k = &kin[C]{conns: map[uint32]C{}}
		r.kins[name] = k
	}
	if _, known := k.conns[id]; known {
		return false
	}
	k.conns[id] = c
	return true
}

// Remove removes a conn that has ended.
func (r *Registry[C]) Remove(name Name, id uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kins[name]
	if k == nil {
		return
	}
	delete(k.conns, id)
	if len(k.conns) == 0 {
		delete(r.kins, name)
		return
	}
	if len(k.ended) == endedMax {
		k.ended = slices.Delete(k.ended, 0, 1)
	}
	k.ended = append(k.ended, id)
}

// Find returns the client's conn with the given id. If there is none, ended reports
// whether there was one recently.
func (r *Registry[C]) Find(name Name, id uint32) (c C, found, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kins[name]
	if k == nil {
		return c, false, false
	}
	c, found = k.conns[id]
	return c, found, slices.Contains(k.ended, id)
}
