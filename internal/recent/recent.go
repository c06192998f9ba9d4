// Package recent caches recent results, such as the addresses of names or unresponsive
// targets, in bounded memory.
package recent

import (
	"container/list"
	"sync"
	"time"
)

// Map holds values until they expire. When it is full, it evicts the least recently
// used value. Every method takes constant time and is safe for concurrent use.
type Map[K comparable, V any] struct {
	max int // set once, never changed

	mu    sync.Mutex
	byKey map[K]*list.Element // guarded by mu; elements of order
	order list.List           // guarded by mu; elements are *entry[K, V], most recently used first
}

type entry[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

// New returns a Map that holds up to size values; size must be at least 1.
func New[K comparable, V any](size int) *Map[K, V] {
	return &Map[K, V]{max: max(size, 1), byKey: map[K]*list.Element{}}
}

// Get returns the value stored under k, and reports whether there is one that has not
// expired.
func (m *Map[K, V]) Get(k K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	el, ok := m.byKey[k]
	if ok && m.expired(el) {
		m.remove(el)
		ok = false
	}
	if !ok {
		var none V
		return none, false
	}
	m.order.MoveToFront(el)
	return el.Value.(*entry[K, V]).value, true
}

// Put stores v under k for d, replacing any previous value.
func (m *Map[K, V]) Put(k K, v V, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if el, ok := m.byKey[k]; ok {
		m.remove(el)
	}
	m.byKey[k] = m.order.PushFront(&entry[K, V]{k, v, time.Now().Add(d)})
	if m.order.Len() > m.max {
		m.remove(m.order.Back())
	}
	// Remove up to two expired values: values never requested again would otherwise
	// stay until the map is full.
	for range 2 {
		if el := m.order.Back(); el != nil && m.expired(el) {
			m.remove(el)
		}
	}
}

// Delete removes k.
func (m *Map[K, V]) Delete(k K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if el, ok := m.byKey[k]; ok {
		m.remove(el)
	}
}

// Len returns the number of values, including expired ones that are not yet removed.
func (m *Map[K, V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.order.Len()
}

func (m *Map[K, V]) expired(el *list.Element) bool {
	return !time.Now().Before(el.Value.(*entry[K, V]).until)
}

func (m *Map[K, V]) remove(el *list.Element) {
	m.order.Remove(el)
	delete(m.byKey, el.Value.(*entry[K, V]).key)
}
