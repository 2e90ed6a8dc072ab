package job

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
)

// Order is the order in which devices are begun, "" for that of the query or the list.
type Order string

// OrderRandom is an order by chance that is the same each time: it follows from the ids of job and device.
const OrderRandom Order = "random"

// PoolBuckets is into how many buckets the devices of a large target are put to be ordered.
const PoolBuckets = 64

// Pool is how far a target has been read whose devices are to be put in an order by chance: they are stored by bucket, and each
// bucket is small enough to be sorted in memory.
type Pool struct {
	Buckets int    // 0 until the first are stored
	Writes  int    // of devices, each of which has numbers for its rows
	Next    string `json:",omitempty"` // where reading goes on
	Done    bool   `json:",omitempty"` // all are stored
}

// Lot is the place of a device in a job's order by chance: evenly spread over all numbers, and the same each time.
func Lot(jobID, deviceID string) uint64 {
	sum := sha256.Sum256([]byte(jobID + "\x00" + deviceID))
	return binary.BigEndian.Uint64(sum[:])
}

// Bucket is the one among so many, a power of two, that a lot falls into; lots of earlier buckets are smaller.
func Bucket(lot uint64, buckets int) int {
	return int(lot >> (65 - bits.Len(uint(buckets))))
}

// Shuffle puts devices in the job's order by chance, each once.
func Shuffle(jobID string, deviceIDs []string) []string {
	type ticket struct {
		lot uint64
		id  string
	}
	all := make([]ticket, len(deviceIDs))
	for i, id := range deviceIDs {
		all[i] = ticket{Lot(jobID, id), id}
	}
	slices.SortFunc(all, func(a, b ticket) int {
		return cmp.Or(cmp.Compare(a.lot, b.lot), cmp.Compare(a.id, b.id))
	})
	all = slices.Compact(all)
	shuffled := make([]string, len(all))
	for i, t := range all {
		shuffled[i] = t.id
	}
	return shuffled
}

// order reads the member of the same name.
func (o *object) order() Order {
	if !o.has("order") {
		return ""
	}
	raw := bytes.TrimSpace(o.members["order"])
	if string(raw) != `"`+string(OrderRandom)+`"` {
		o.fault("order", raw, `must be "random"`)
		return ""
	}
	for _, other := range []string{"orderBy", "spreadBy"} {
		if o.has(other) {
			o.fault("order", raw, "must not be random beside "+other)
		}
	}
	return OrderRandom
}
