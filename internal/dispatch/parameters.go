package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fleetjobs/fleetjobs/internal/job"
	"github.com/fleetjobs/fleetjobs/internal/pace"
	"github.com/fleetjobs/fleetjobs/internal/twinquery"
)

// writableValues is how many bytes of values for placeholders one write of a planner stores: a transaction has at most 4 MiB
// (https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions), and base64 takes a third more.
const writableValues = 2 << 20

// listed gives the devices of a list, with what the hub says of them if the job has placeholders, and whether that takes queries.
func (t *target) listed(list source) (source, bool, error) {
	paths := t.rec.ParameterPaths()
	if len(paths) == 0 {
		return list, false, nil
	}
	return t.lookedUp(list, paths), true, nil
}

// binder gives the calls of a job with placeholders.
func binder(hub Hub, rec *job.Record) (func(*job.Execution) (call, job.Outcome), error) {
	bodies, err := rec.NewBodies()
	if err != nil {
		return nil, err
	}
	return func(e *job.Execution) (call, job.Outcome) {
		def, refusal := bodies.For(e)
		if refusal.State.Final() {
			return nil, refusal
		}
		judge := judgement(rec.Judge)
		if rec.Type == job.TypeSteps {
			step := &def.Steps[e.At()]
			def, judge = step.Call(), step.Judge
		}
		op, err := operationOf(hub, def, judge)
		if err != nil { // a rule that only the client knows
			return nil, job.Outcome{State: job.Failed, Reason: job.InvalidParameter, Answer: []byte(err.Error())}
		}
		return op.do, job.Outcome{}
	}, nil
}

// callable ends the devices among todo that can not be called, because of the values for the job's placeholders, and gives the others.
func (w *worker) callable(todo []int) []int {
	if w.op.bind == nil {
		return todo
	}
	var rest []int
	for _, i := range todo {
		e := &w.shard.Executions[i]
		_, refusal := w.op.bind(e)
		if !refusal.State.Final() {
			rest = append(rest, i)
			continue
		}
		w.update(func() {
			e.Refuse(refusal, w.d.now())
			w.op.guard.ended(w.shard.Number, e)
		})
	}
	return rest
}

// values are what the hub said of devices that are selected and not stored, by their ids.
type values map[string][]byte

// keep takes over what a page says of a device.
func (v *values) keep(id string, page map[string][]byte) {
	value, ok := page[id]
	if !ok {
		return
	}
	if *v == nil {
		*v = values{}
	}
	(*v)[id] = value
}

// move gives the executions of a new shard their values.
func (v values) move(s *job.Shard) {
	if len(v) == 0 {
		return
	}
	for i := range s.Executions {
		e := &s.Executions[i]
		e.Values = v[e.DeviceID]
		delete(v, e.DeviceID)
	}
}

// writable is how many shards one write stores at most.
func (p *planner) writable() int {
	if len(p.known) == 0 {
		return planShards
	}
	size := 0
	for n, id := range p.pending {
		if size += len(p.known[id]); size > writableValues {
			return max(1, min(planShards, n/job.ShardSize))
		}
	}
	return planShards
}

// writableShards is how many of the first of some shards one write stores at most, one at least.
func writableShards(shards []*job.Shard) int {
	size := 0
	for n, s := range shards {
		for i := range s.Executions {
			size += len(s.Executions[i].Values)
		}
		if size > writableValues {
			return max(1, n)
		}
	}
	return len(shards)
}

// valuesOf reads what rows say of devices beside their ids: n values each.
func valuesOf(devices []string, rows []json.RawMessage, n int) (map[string][]byte, error) {
	if n == 0 {
		return nil, nil
	}
	values := make(map[string][]byte, len(devices))
	for i, id := range devices {
		v, err := job.ReadValues(rows[i], n)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errTarget, err)
		}
		values[id] = v
	}
	return values, nil
}

// lookedUp adds to the devices of a list what the hub says of them. Its continuation is that of the list and, behind a point, how
// many devices of that stretch came before.
func (t *target) lookedUp(list source, paths []string) source {
	return func(ctx context.Context, continuation string) (found, error) {
		row, behind, _ := strings.Cut(continuation, ".")
		from := 0
		if behind != "" {
			var err error
			if from, err = strconv.Atoi(behind); err != nil {
				return found{}, fmt.Errorf("%w: continuation %q is not a number: %w", errTarget, continuation, err)
			}
		}
		got, err := list(ctx, row)
		if err != nil || from >= len(got.devices) {
			return got, err
		}
		ids := got.devices[from:]
		query, n := lookup(ids, paths)
		if n < len(ids) {
			got.next = row + "." + strconv.Itoa(from+n)
		}
		got.devices = ids[:n]
		got.values, err = t.d.lane(t.hub).look(ctx, t.rec.RunID, query, len(paths))
		return got, err
	}
}

// lookup gives the query for what paths say of the first devices, or modules, of a list, and how many these are: as many as a page
// and the length of a query hold.
func lookup(ids, paths []string) (string, int) {
	_, _, modules := strings.Cut(ids[0], "/")
	from := twinquery.Devices
	if modules {
		from = twinquery.Modules
	}
	head := "SELECT " + job.Projection(idsOf(from), paths) + " FROM " + from.String() + " WHERE "
	left := twinquery.MaxLength - utf8.RuneCountInString(head) - len(" ")
	var conditions []string
	for _, id := range ids[:min(len(ids), job.ShardSize)] {
		device, module := job.SplitTarget(id)
		one := twinquery.Quote(device)
		if modules {
			one = "(deviceId = " + one + " AND moduleId = " + twinquery.Quote(module) + ")"
		}
		if left -= len(one) + len(" OR "); left < len("deviceId IN []") || (module != "") != modules {
			break
		}
		conditions = append(conditions, one)
	}
	if modules {
		return head + strings.Join(conditions, " OR "), len(conditions)
	}
	return head + "deviceId IN [" + strings.Join(conditions, ", ") + "]", len(conditions)
}

// look asks a query to its last page, and gives the n values of each row by id. The caller's turn covers the first page, which is
// all unless the hub gives short ones.
func (l *lane) look(ctx context.Context, run, query string, n int) (map[string][]byte, error) {
	from := twinquery.Devices
	if strings.Contains(query, " FROM "+twinquery.Modules.String()+" ") {
		from = twinquery.Modules
	}
	all := map[string][]byte{}
	for continuation := ""; ; {
		if continuation != "" {
			if err := l.nextTurn(ctx, run); err != nil {
				return nil, err
			}
		}
		got, err := l.hub.QueryPage(ctx, query, continuation, job.ShardSize)
		if err != nil {
			return nil, err
		}
		ids, err := targetIDs(got.Rows, from)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errTarget, err)
		}
		values, err := valuesOf(ids, got.Rows, n)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, values)
		if continuation = got.Continuation; continuation == "" {
			return all, nil
		}
	}
}

// nextTurn waits for one more query of a run.
func (l *lane) nextTurn(ctx context.Context, run string) error {
	g, err := l.pacer.reserve(ctx, pace.Queries, pace.Ask{Run: run, Costs: []int{1}})
	if err != nil {
		return err
	}
	at := g.again
	if len(g.slots) > 0 {
		at = g.slots[0].At
	}
	return sleep(ctx, max(0, at.Sub(l.pacer.now())))
}
