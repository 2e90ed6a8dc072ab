package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/tablestore"
)

// What one page costs at most, whatever its size and filter: a page that reaches a limit is short and has a token.
const (
	shardsPerRead = 20
	extraShards   = 20      // beyond those that a page without a filter needs
	maxAnswers    = 8 << 20 // bytes of device answers
)

// wanted is a page of executions that somebody asks for.
type wanted struct {
	state *job.ExecutionState // nil for all
	from  position
	size  int
}

func (w wanted) filter() string {
	if w.state == nil {
		return ""
	}
	return w.state.String()
}

// position is a place in the order of a run's executions.
type position struct {
	shard, offset int
}

// page reads executions from want.from on, and gives where the next page begins, nil after the last.
func (h *handler) page(ctx context.Context, run *job.Run, want wanted) ([]job.Execution, *position, error) {
	q := tablestore.ShardQuery{From: want.from.shard, State: want.state, Always: -1}
	if want.state != nil && run.Status.Ended() {
		if !want.state.Final() {
			return nil, nil, nil // rows may say so of devices that were never reached
		}
		if *want.state == run.Unreached().State {
			q.Always = run.Enqueued
		}
	}
	p := pageBuilder{run: run, want: want}
	for budget := want.size/job.ShardSize + extraShards; budget > 0; budget -= q.Max {
		q.Max = min(shardsPerRead, budget)
		if want.state == nil {
			q.Max = min(q.Max, (want.size-len(p.found))/job.ShardSize+2)
		}
		shards, err := h.store.Shards(ctx, run.ID, q)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range shards {
			if next := p.add(s); next != nil {
				return p.found, next, nil
			}
			q.From = s.Number + 1
		}
		if len(shards) < q.Max {
			return p.found, nil, nil
		}
	}
	return p.found, &position{shard: q.From}, nil
}

// pageBuilder collects the executions of a page.
type pageBuilder struct {
	run   *job.Run
	want  wanted
	found []job.Execution
	bytes int
}

// add takes what belongs to the page out of s and gives where the next page begins once this one is full.
func (p *pageBuilder) add(s *job.Shard) *position {
	first := 0
	if s.Number == p.want.from.shard {
		first = p.want.from.offset
	}
	for i := first; i < len(s.Executions); i++ {
		e := asEnded(p.run, s.Number, s.Executions[i])
		if p.want.state != nil && e.State != *p.want.state {
			continue
		}
		if len(p.found) == p.want.size || p.bytes > maxAnswers {
			return &position{shard: s.Number, offset: i}
		}
		p.found = append(p.found, e)
		p.bytes += len(e.Answer)
	}
	return nil
}

// asEnded gives e as its run left it: an ended run does not rewrite the rows of shards that no worker was given.
func asEnded(run *job.Run, shard int, e job.Execution) job.Execution {
	if run.NeverEnqueued(shard) {
		e.End(run.Unreached(), run.EndedAt)
	}
	return e
}

// tokenVersion begins every token, so that a later layout can be told from this one.
const tokenVersion = "1"

// token gives p as text that only the same listing takes back.
func (p position) token(runID, filter string) string {
	text := fmt.Sprintf("%s.%d.%d.%s", tokenVersion, p.shard, p.offset, listing(runID, filter))
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// listing stands for a listing: a run and a filter.
func listing(runID, filter string) string {
	sum := sha256.Sum256([]byte(runID + "\n" + filter))
	return hex.EncodeToString(sum[:4])
}

const maxShardNumber = 99_999_999 // row keys have eight digits

// parseToken is the inverse of token; "" is the beginning.
func parseToken(token, runID, filter string) (position, error) {
	var p position
	if token == "" {
		return p, nil
	}
	fault := func(rule string) (position, error) {
		return position{}, job.Faults{{Field: "continuationToken", Value: shown(token), Rule: rule}}
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return fault("must be a token that this service gave")
	}
	head, check, _ := cutLast(string(text), ".")
	if _, err := fmt.Sscanf(head, tokenVersion+".%d.%d", &p.shard, &p.offset); err != nil {
		return fault("must be a token that this service gave")
	}
	if check != listing(runID, filter) {
		return fault("belongs to another listing: it goes with the job and the status that it was given for")
	}
	if p.shard < 0 || p.shard > maxShardNumber || p.offset < 0 || p.offset >= job.ShardSize || p.token(runID, filter) != token {
		return fault("must be a token that this service gave")
	}
	return p, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
