package dispatch

import (
	"context"
	"sync"
)

// seen remembers devices by their fingerprints in 11 MiB at most, whatever the fleet's size: a Bloom filter that grows in layers up
// to lastLayer. It may take a new device for a seen one, but never the other way. In fleets of up to a million, the most that a hub
// has, that happens about once in ten thousand runs; it costs a read of all that is selected.
type seen struct {
	salt   uint64 // makes other false alarms; 0 is none
	layers []layer
}

type layer struct {
	bits []uint64
	room int // devices until the next layer begins
}

const (
	firstLayer    = 1 << 12 // words of 64 bits
	lastLayer     = 1 << 20 // 8 MiB, for a million devices; more make false alarms more frequent
	layerGrowth   = 4
	bitsPerDevice = 64
	bitsSet       = 16
)

// holds reports whether print may have been added.
func (s *seen) holds(print uint64) bool {
	print = s.salted(print)
	for _, l := range s.layers {
		if l.holds(print) {
			return true
		}
	}
	return false
}

// add remembers print and reports whether it may have been there before.
func (s *seen) add(print uint64) bool {
	if s.holds(print) {
		return true
	}
	print = s.salted(print)
	last := len(s.layers) - 1
	if last < 0 || s.layers[last].room == 0 && len(s.layers[last].bits) < lastLayer {
		words := firstLayer
		if last >= 0 {
			words = layerGrowth * len(s.layers[last].bits)
		}
		s.layers = append(s.layers, layer{bits: make([]uint64, words), room: words * 64 / bitsPerDevice})
		last++
	}
	s.layers[last].add(print)
	return false
}

func (s *seen) salted(print uint64) uint64 {
	if s.salt == 0 {
		return print
	}
	print = (print ^ s.salt) * (s.salt | 1)
	return print ^ print>>32
}

func (l *layer) holds(print uint64) bool {
	for i := range uint64(bitsSet) {
		if word, bit := l.at(print, i); l.bits[word]&bit == 0 {
			return false
		}
	}
	return true
}

func (l *layer) add(print uint64) {
	l.room = max(0, l.room-1)
	for i := range uint64(bitsSet) {
		word, bit := l.at(print, i)
		l.bits[word] |= bit
	}
}

// at gives the place of bit i of print. All of print decides about each: of a step and a distance, as in double hashing, a small layer
// would see no more than their last bits, which many of a million devices have in common with one in it.
func (l *layer) at(print, i uint64) (word int, bit uint64) {
	n := (print + i*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9 // as SplitMix64 mixes
	n = (n ^ n>>29) * 0x94d049bb133111eb
	n = (n ^ n>>32) % uint64(64*len(l.bits))
	return int(n / 64), 1 << (n % 64)
}

// recalled keeps what the last stretch of this process has seen, which the next one mostly goes on with.
type recalled struct {
	mu     sync.Mutex
	run    string
	shards int
	seen   seen
}

func (r *recalled) put(run string, shards int, s seen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run, r.shards, r.seen = run, shards, s
}

// take gives what a stretch of run left behind, if the plan has had the same number of shards, and the same salt, since.
func (r *recalled) take(run string, shards int, salt uint64) (seen, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run != run || r.shards != shards || r.seen.salt != salt {
		return seen{salt: salt}, false
	}
	s := r.seen
	r.run, r.seen = "", seen{}
	return s, true
}

// rememberSeen keeps what a stretch has seen for the next one, unless some of it may not be stored: those devices would come last
// there, as ones to be looked up.
func (p *planner) rememberSeen(failure error) {
	if failure == nil && len(p.pending)+len(p.suspects) == 0 {
		p.d.recalled.put(p.run.ID, p.plan.Shards, p.seen)
	}
}

// recall finds out which devices earlier stretches have selected.
func (p *planner) recall(ctx context.Context) error {
	s, ok := p.d.recalled.take(p.run.ID, p.plan.Shards, salt(p.plan))
	if p.seen = s; ok || p.plan.Shards == 0 {
		return nil
	}
	return p.d.store.Selected(ctx, p.run.ID, func(print uint64) { p.seen.add(print) })
}
