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
	var text []byte
	for _, part := range []string{jobID, runID, device} {
		text = binary.BigEndian.AppendUint64(text, uint64(len(part)))
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return time.Duration(binary.BigEndian.Uint64(sum[:])%steps) * time.Millisecond
}
