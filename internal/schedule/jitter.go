package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// jitterSteps is how many delays a jitter has at most: devices of one step wait, and are called, together.
const jitterSteps = 100

// JitterStep is the least difference between two delays of a jitter: a hundredth of it, and at least a second.
func JitterStep(most Duration) time.Duration {
	return max(time.Second, (time.Duration(most) / jitterSteps).Truncate(time.Second))
}

// Jitter gives the delay of a device of a job: from 0 up to, and without, most, in whole steps. It is the same in each run,
// whenever and wherever it is computed, and spreads a fleet evenly.
func Jitter(jobID, device string, most Duration) time.Duration {
	step := JitterStep(most)
	steps := uint64((time.Duration(most) + step - 1) / step)
	if steps == 0 {
		return 0
	}
	text := binary.BigEndian.AppendUint64(make([]byte, 0, 256), uint64(len(jobID))) // ids have 257 bytes at most
	text = append(append(text, jobID...), device...)
	sum := sha256.Sum256(text)
	return time.Duration(binary.BigEndian.Uint64(sum[:])%steps) * step
}
