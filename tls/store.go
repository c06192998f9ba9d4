package tls

import (
	ctls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tunnels/tls/internal/certtext"
	"tunnels/tls/internal/crl"
)

// store holds the content of one end's files and reloads them when they change.
//
// Certificate, CA and revocation list are read independently: a broken
// certificate must not keep a revocation from taking effect.
type store struct {
	cfg  Config
	role Role
	now  atomic.Pointer[snapshot] // current content; never nil

	mu     sync.Mutex             // held while files are read, never while a hook runs; guards the fields below
	looked time.Time              // when the files were last checked
	stamps map[string]os.FileInfo // maps a file to its state when last read, or nil if it was missing
	failed map[string]failure     // maps a part to the reason why it cannot be read
}

// The parts of a store, as named in hooks and errors.
const (
	partPair = "certificate"
	partCA   = "CA"
	partCRL  = "revocation list"
)

// failure is an error that persists until the files are fixed.
type failure struct {
	text     string
	reported time.Time // when it was last reported
}

// repeatAfter returns how often a persistent failure is reported. A problem with
// revocations is reported often, so that it cannot be missed in the log.
func repeatAfter(part string) time.Duration {
	if part == partPair {
		return time.Hour
	}
	return time.Minute
}

// event holds the arguments for one call to Hooks.Reloaded.
type event struct {
	what string
	err  error
}

// newStore reads all files. An unreadable file is fatal only here, because there is no
// earlier content to fall back on.
func newStore(cfg Config, role Role) (*store, error) {
	s := &store{cfg: cfg, role: role, stamps: map[string]os.FileInfo{}, failed: map[string]failure{}}
	s.changed()
	s.looked = time.Now()
	pair, err := loadPair(cfg, role)
	if err != nil {
		return nil, err
	}
	cas, err := loadCAs(cfg, role)
	if err != nil {
		return nil, err
	}
	crls, _, _, err := loadCRLs(cfg, cas)
	if err != nil {
		return nil, err
	}
	s.now.Store(&snapshot{pair: pair, cas: cas, pool: poolOf(cas), crls: crls})
	return s, nil
}

// files lists the files of each part.
func (s *store) files() map[string][]string {
	if s.cfg.Material != nil {
		return nil
	}
	key := s.cfg.Key
	if key == "" {
		key = s.cfg.Cert
	}
	return map[string][]string{
		partPair: {s.cfg.Cert, key},
		partCA:   {s.cfg.CA},
		partCRL:  s.cfg.crlFiles(),
	}
}

// changed returns the parts whose files differ from when they were last read, by
// identity, size, mode and modification time.
func (s *store) changed() map[string]bool {
	parts := map[string]bool{}
	seen := map[string]os.FileInfo{}
	for part, files := range s.files() {
		for _, file := range files {
			info, ok := seen[file]
			if !ok {
				info, _ = os.Stat(file) // nil if missing
				seen[file] = info
			}
			if !sameStamp(s.stamps[file], info) {
				parts[part] = true
			}
		}
	}
	s.stamps = seen
	return parts
}

func sameStamp(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

// poll checks the files unless a check is running or happened less than the poll
// interval ago.
func (s *store) poll() []event {
	if !s.mu.TryLock() {
		return nil
	}
	defer s.mu.Unlock()
	if time.Since(s.looked) < s.cfg.poll() {
		return nil
	}
	return s.refreshLocked(false)
}

// check checks the files now.
func (s *store) check() []event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refreshLocked(false)
}

// reload rereads all files, changed or not. It returns errors instead of reporting them
// as events.
func (s *store) reload() ([]event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var good []event
	var errs []error
	for _, e := range s.refreshLocked(true) {
		if e.err != nil {
			errs = append(errs, e.err)
		} else {
			good = append(good, e)
		}
	}
	return good, errors.Join(errs...)
}

// refreshLocked reads the parts that have changed or could not be read last time, or
// all parts if all is set.
func (s *store) refreshLocked(all bool) []event {
	s.looked = time.Now()
	dirty := s.changed()
	for part := range s.failed {
		dirty[part] = true
	}
	if all {
		dirty = map[string]bool{partPair: true, partCA: true, partCRL: true}
	}
	if len(dirty) == 0 {
		return nil
	}
	old := s.now.Load()
	next := *old
	var events []event
	tell := func(part string, isNew bool, err error) {
		if e, ok := s.outcome(part, isNew, all, err); ok {
			events = append(events, e)
		}
	}
	if dirty[partPair] {
		pair, err := loadPair(s.cfg, s.role)
		isNew := err == nil && !samePair(pair, old.pair)
		if isNew {
			next.pair = pair
		}
		tell(partPair, isNew, err)
	}
	if dirty[partCA] {
		cas, err := loadCAs(s.cfg, s.role)
		isNew := err == nil && !slices.EqualFunc(cas, old.cas, (*x509.Certificate).Equal)
		if isNew {
			next.cas, next.pool = cas, poolOf(cas)
		}
		dirty[partCRL] = dirty[partCRL] || isNew
		tell(partCA, isNew, err)
	}
	if dirty[partCRL] {
		crls, err := s.loadCRLs(next.cas, old.crls)
		isNew := !slices.EqualFunc(crls, old.crls, crl.Same)
		if isNew {
			next.crls = crls
		}
		tell(partCRL, isNew, err)
	}
	s.now.Store(&next)
	return events
}

// loadCRLs is like the function loadCRLs, but retains old lists: a list remains in
// force until another replaces it or its CA is no longer trusted. So damaging or
// deleting a file, or restoring an older copy, does not undo a revocation. The lists
// are returned even if there is an error.
func (s *store) loadCRLs(cas []*x509.Certificate, old []crl.List) ([]crl.List, error) {
	crls, found, failed, err := loadCRLs(s.cfg, cas)
	read := crls
	for _, was := range old {
		signer := slices.IndexFunc(cas, func(ca *x509.Certificate) bool { return slices.Equal(ca.RawSubjectPublicKeyInfo, was.Signer) })
		broken := slices.Contains(failed, was.File)
		replaced := func(l crl.List) bool { return l.Replaces(was) && (!broken || l.File == was.File) }
		if signer < 0 || slices.ContainsFunc(read, replaced) {
			continue
		}
		if !slices.ContainsFunc(read, func(l crl.List) bool { return crl.Same(l, was) }) {
			crls = append(crls, was)
		}
		switch {
		case broken || err != nil: // err is already set
		case len(found) == 0:
			err = fmt.Errorf("revocation list %s no longer exists", strings.Join(s.cfg.crlFiles(), " or "))
		case slices.ContainsFunc(read, func(l crl.List) bool { return slices.Equal(l.Signer, was.Signer) }):
			err = fmt.Errorf("revocation list %s: the list issued by %s is older than the current one", was.File, certtext.Label(cas[signer]))
		default:
			err = fmt.Errorf("revocation list %s: it no longer contains the list issued by %s", was.File, certtext.Label(cas[signer]))
		}
	}
	return crls, err
}

// outcome decides whether to report the result of reading one part.
func (s *store) outcome(part string, isNew, all bool, err error) (event, bool) {
	before, failing := s.failed[part]
	if err == nil {
		delete(s.failed, part)
		return event{what: s.describe(part)}, isNew || failing
	}
	tell := all || err.Error() != before.text || time.Since(before.reported) >= repeatAfter(part)
	if tell {
		s.failed[part] = failure{err.Error(), time.Now()}
	}
	return event{s.describe(part), err}, tell
}

// describe returns a part with its files: "certificate (server.pem, server.key)".
func (s *store) describe(part string) string {
	files := slices.Compact(slices.Clone(s.files()[part]))
	if len(files) == 0 {
		return part
	}
	return part + " (" + strings.Join(files, ", ") + ")"
}

func samePair(a, b *ctls.Certificate) bool {
	return slices.EqualFunc(a.Certificate, b.Certificate, slices.Equal)
}
