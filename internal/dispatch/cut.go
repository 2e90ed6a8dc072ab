package dispatch

import "github.com/fleetjobs/fleetjobs/internal/job"

// next gives the end of the shard that begins with a pending device, and the part of the target that it belongs to: a part begins with
// a shard of its own.
func (p *planner) next(from int) (end, part int) {
	end, part = len(p.pending), p.part
	for _, s := range p.stints {
		if from < s.n {
			end, part = min(end, s.n), s.part
			break
		}
	}
	return min(end, from+p.run.Rollout.ShardSize(p.plan.Devices+from, p.chosenBefore(part))), part
}

// shards is how many shards the pending devices make.
func (p *planner) shards() int {
	if p.run.Rollout == nil && len(p.stints) == 0 {
		return (len(p.pending) + job.ShardSize - 1) / job.ShardSize
	}
	n := 0
	for at := 0; at < len(p.pending); n++ {
		at, _ = p.next(at)
	}
	return n
}

// cut takes the devices of up to n shards from pending, and gives the place after them.
func (p *planner) cut(n int) ([]*job.Shard, place) {
	taken := 0
	var shards []*job.Shard
	for len(shards) < n && taken < len(p.pending) {
		end, part := p.next(taken)
		s := newShard(p.run.ID, p.plan.Shards+len(shards), p.pending[taken:end])
		s.Part, s.AtOnce = part, p.placed(part).AtOnce
		p.run.Delay(s, p.placed(part).At)
		p.placed(part).EndUnplaced(s, p.d.now())
		p.known.move(s)
		shards = append(shards, s)
		taken = end
	}
	to := place{p.plan.Part, p.plan.Continuation}
	if taken == len(p.pending) {
		to = p.at
	}
	for len(p.marks) > 0 && p.marks[0].n <= taken {
		to = p.marks[0].to
		p.marks = p.marks[1:]
	}
	for i := range p.marks {
		p.marks[i].n -= taken
	}
	for len(p.stints) > 0 && p.stints[0].n <= taken {
		p.stints = p.stints[1:]
	}
	for i := range p.stints {
		p.stints[i].n -= taken
	}
	p.pending = p.pending[taken:]
	return shards, to
}

func newShard(runID string, n int, devices []string) *job.Shard {
	s := &job.Shard{RunID: runID, Number: n, Executions: make([]job.Execution, len(devices))}
	for i, id := range devices {
		s.Executions[i].DeviceID = id
	}
	return s
}
