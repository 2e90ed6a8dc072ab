package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Jitter gives the delay of one device in one run: from 0 up to, and without, most, in whole milliseconds. It is the same
// whenever and wherever it is computed, differs from run to run, and spreads a fleet evenly.
func Jitter(jobID, runID, device string, most Duration) time.Duration {
	steps := uint64(time.Duration(most) / time.Millisecond)
	if steps == 0 {
		return 0
	}
	h := sha256.New()
	for _, part := range []string{jobID, runID, device} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash takes every write
		_, _ = h.Write([]byte(part))
	}
	return time.Duration(binary.BigEndian.Uint64(h.Sum(nil))%steps) * time.Millisecond
}
