// Package recent remembers what was learnt a short while ago: addresses of
// names, targets that do not answer. Memory is bounded whatever is put in.
package recent

import (
	"container/list"
	"sync"
	"time"
)

// Map keeps values until they expire. When it is full, what was used longest ago
// makes room. Every call takes constant time, and any number of goroutines may
// call.
type Map[K comparable, V any] struct {
	max int // set once, never changed

	mu    sync.Mutex
	byKey map[K]*list.Element // guarded by mu; the elements of order
	order list.List           // guarded by mu; of *entry[K, V], used last in front
}

type entry[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

// New makes a Map of at most size values, which is 1 at least.
func New[K comparable, V any](size int) *Map[K, V] {
	return &Map[K, V]{max: max(size, 1), byKey: map[K]*list.Element{}}
}

// Get is the value of k; false if there is none, or none any more.
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

// Put keeps v under k for d from now on, instead of what was there.
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
	// What nobody asks for again is not left lying until the map is full.
	for range 2 {
		if el := m.order.Back(); el != nil && m.expired(el) {
			m.remove(el)
		}
	}
}

// Delete forgets k.
func (m *Map[K, V]) Delete(k K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if el, ok := m.byKey[k]; ok {
		m.remove(el)
	}
}

// Len is how many values are kept, expired ones that were not noticed included.
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
