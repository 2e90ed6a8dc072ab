package tablestore

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// The packed form of a shard's executions: a version byte, then, plain or deflated, the number of executions and for each
// its id, state, reason, flags, attempts, times in milliseconds, status code, answer and, by their flags, the time of the next
// attempt and the progress through steps. docs/adr/0003 says why.
const (
	packedPlain    = 1
	packedDeflated = 2
	deflateFrom    = 256     // bytes; shorter ones do not shrink
	unpackedLimit  = 2 << 20 // far above ShardSize executions with the longest answers
	flagTruncated  = 1
	flagWaiting    = 2 // the time of the next attempt follows the answer
	flagValues     = 4 // the values for placeholders follow that
	flagProgress   = 8 // and then how far the steps have come
	flagReached    = 16

	// Milliseconds of the years 1 to 9999, without the instant of the zero time.
	firstTime = -62_135_596_799_999
	lastTime  = 253_402_300_799_999
)

var errPacked = errors.New("packed executions are damaged")

// packer packs and unpacks; it keeps some compressors for the next shards. A sync.Pool would lose them with each collection of
// garbage, of which they are the largest pieces.
type packer struct {
	mu      sync.Mutex
	writers []*flate.Writer
}

// keptWriters is how many compressors are kept, of 1.2 MB each.
const keptWriters = 4

// writer gives a compressor that writes to out.
func (p *packer) writer(out io.Writer) (*flate.Writer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.writers) - 1
	if last < 0 {
		return flate.NewWriter(out, flate.BestSpeed)
	}
	w := p.writers[last]
	p.writers = p.writers[:last]
	w.Reset(out)
	return w, nil
}

func (p *packer) keep(w *flate.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.writers) < keptWriters {
		p.writers = append(p.writers, w)
	}
}

func (p *packer) pack(executions []job.Execution) ([]byte, error) {
	plain := encodeExecutions(executions)
	if len(plain) < deflateFrom {
		return plain, nil
	}
	out := bytes.NewBuffer(make([]byte, 0, len(plain)/2))
	out.WriteByte(packedDeflated)
	w, err := p.writer(out)
	if err != nil {
		return nil, fmt.Errorf("packing executions: %w", err)
	}
	defer p.keep(w)
	if _, err := w.Write(plain[1:]); err != nil {
		return nil, fmt.Errorf("packing executions: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("packing executions: %w", err)
	}
	return out.Bytes(), nil
}

func encodeExecutions(executions []job.Execution) []byte {
	b := make([]byte, 0, 64*len(executions)+16)
	b = append(b, packedPlain)
	b = binary.AppendUvarint(b, uint64(len(executions)))
	var last int64
	for i := range executions {
		e := &executions[i]
		b = appendBytes(b, e.DeviceID)
		var flags byte
		if e.Truncated {
			flags = flagTruncated
		}
		if e.Reached {
			flags |= flagReached
		}
		if !e.NextAttemptAt.IsZero() {
			flags |= flagWaiting
		}
		if e.Values != nil {
			flags |= flagValues
		}
		if e.Progress != nil {
			flags |= flagProgress
		}
		b = append(b, byte(e.State), byte(e.Reason), flags)
		b = binary.AppendUvarint(b, uint64(e.Attempts))
		b, last = appendTime(b, e.StartedAt, last)
		b, last = appendTime(b, e.EndedAt, last)
		b = binary.AppendVarint(b, int64(e.StatusCode))
		b = appendBytes(b, e.Answer)
		if flags&flagWaiting != 0 {
			b, last = appendTime(b, e.NextAttemptAt, last)
		}
		if flags&flagValues != 0 {
			b = appendBytes(b, e.Values)
		}
		if flags&flagProgress != 0 {
			b, last = appendProgress(b, e.Progress, last)
		}
	}
	return b
}

func appendBytes[T string | []byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// appendTime stores milliseconds as the difference to the time before, plus one; 0 stands for no time.
func appendTime(b []byte, t time.Time, last int64) ([]byte, int64) {
	if t.IsZero() {
		return binary.AppendVarint(b, 0), last
	}
	ms := t.UnixMilli()
	d := ms - last
	if d >= 0 {
		d++
	}
	return binary.AppendVarint(b, d), ms
}

func (p *packer) unpack(data []byte) ([]job.Execution, error) {
	if len(data) == 0 {
		return nil, errPacked
	}
	switch data[0] {
	case packedPlain:
		return decodeExecutions(data[1:])
	case packedDeflated:
		plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), unpackedLimit))
		if err != nil {
			return nil, fmt.Errorf("unpacking executions: %w", err)
		}
		return decodeExecutions(plain)
	}
	return nil, fmt.Errorf("%w: version %d is not known", errPacked, data[0])
}

func decodeExecutions(b []byte) ([]job.Execution, error) {
	r := &reader{b: b}
	n := r.uvarint()
	if n > job.ShardSize {
		return nil, fmt.Errorf("%w: %d executions", errPacked, n)
	}
	executions := make([]job.Execution, n)
	var last int64
	for i := range executions {
		e := &executions[i]
		e.DeviceID = string(r.bytes())
		e.State, e.Reason = job.ExecutionState(r.byte()), job.Reason(r.byte())
		flags := r.byte()
		e.Truncated, e.Reached = flags&flagTruncated != 0, flags&flagReached != 0
		e.Attempts = r.count()
		e.StartedAt = r.time(&last)
		e.EndedAt = r.time(&last)
		e.StatusCode = int(r.varint())
		e.Answer = r.bytes()
		if flags&flagWaiting != 0 {
			e.NextAttemptAt = r.time(&last)
		}
		if flags&flagValues != 0 {
			e.Values = r.bytes()
		}
		if flags&flagProgress != 0 {
			e.Progress = r.progress(&last)
		}
		if !e.State.Known() || !e.Reason.Known() {
			return nil, fmt.Errorf("%w: unknown state or reason", errPacked)
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, errPacked
	}
	return executions, nil
}

// reader reads values off b; after the first fault every value is zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.bad, r.b = true, nil }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number that fits 31 bits.
func (r *reader) count() int {
	n := r.uvarint()
	if n > math.MaxInt32 {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
	}
	if r.bad || n == 0 {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) time(last *int64) time.Time {
	d := r.varint()
	if d == 0 {
		return time.Time{}
	}
	if d > 0 {
		d--
	}
	*last += d
	if *last < firstTime || *last > lastTime {
		r.fail()
		return time.Time{}
	}
	return time.UnixMilli(*last).UTC()
}

// fingerprint is 64 bits that stand for a device within one run: run ids hold a nonce, so nobody can choose ids that collide.
func fingerprint(runID, deviceID string) uint64 {
	sum := sha256.Sum256([]byte(runID + "\n" + deviceID))
	return binary.BigEndian.Uint64(sum[:8])
}

// fingerprints gives those of a shard. That of a device which has left the target is turned round, so that it is found, and is
// selected anew if it comes back.
func fingerprints(runID string, executions []job.Execution) []byte {
	b := make([]byte, 0, 8*len(executions))
	for i := range executions {
		print := fingerprint(runID, executions[i].DeviceID)
		if executions[i].State == job.Removed {
			print = ^print
		}
		b = binary.BigEndian.AppendUint64(b, print)
	}
	return b
}
