package fault

// Dice are repeatable random numbers: the same seed, name and number give the same value in every run and on every machine.
type Dice struct {
	seed uint64
}

// NewDice returns the dice of a seed.
func NewDice(seed uint64) Dice { return Dice{seed: mix(seed + 0x9e3779b97f4a7c15)} }

// Of returns a number in [0, 1) for a name, such as a device id.
func (d Dice) Of(name string) float64 { return unit(mix(d.seed ^ hash(name))) }

// At returns the n-th number in [0, 1) of the series with that name.
func (d Dice) At(name string, n uint64) float64 { return unit(mix(mix(d.seed^hash(name)) + n)) }

// hash is 64-bit FNV-1a, written out because hash/fnv allocates.
func hash(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }
