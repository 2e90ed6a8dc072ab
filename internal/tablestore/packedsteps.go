package tablestore

import (
	"encoding/binary"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// appendProgress stores the step, the attempts before it, the end of a wait, and the results of the steps before.
func appendProgress(b []byte, p *job.Progress, last int64) ([]byte, int64) {
	b = binary.AppendUvarint(b, uint64(p.Step))
	b = binary.AppendUvarint(b, uint64(p.Before))
	b, last = appendTime(b, p.Until, last)
	b = binary.AppendUvarint(b, uint64(len(p.Results)))
	for i := range p.Results {
		r := &p.Results[i]
		var flags byte
		if r.Truncated {
			flags = flagTruncated
		}
		b = append(b, flags)
		b = binary.AppendVarint(b, int64(r.StatusCode))
		b, last = appendTime(b, r.EndedAt, last)
		b = appendBytes(b, r.Answer)
	}
	return b, last
}

func (r *reader) progress(last *int64) *job.Progress {
	p := &job.Progress{Step: r.count(), Before: r.count(), Until: r.time(last)}
	n := r.count()
	if n > job.MaxSteps {
		r.fail()
		return p
	}
	for range n {
		flags := r.byte()
		p.Results = append(p.Results, job.StepResult{
			Truncated: flags&flagTruncated != 0, StatusCode: int(r.varint()), EndedAt: r.time(last), Answer: r.bytes(),
		})
	}
	return p
}
