package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/throttle"
	"github.com/fleetjobs/fleetjobs/internal/job"
)

// tierCase is a hub that meters strictly: nothing piles up for a burst, so that what is measured is a share of the rate, and
// the queue takes a second of real time.
type tierCase struct {
	tier  throttle.Tier
	scale float64
}

func tierCases() []tierCase {
	return []tierCase{{throttle.S1, 10}, {throttle.S2, 10}, {throttle.S3, 1}}
}

// workload is what is run against a tier.
type workload struct {
	twins, byQuery bool
	jobs           int
}

// workloads are all combinations that are asked for; a small measurement takes fewer.
func (b *bench) workloads(c tierCase) []workload {
	var all []workload
	for _, twins := range []bool{false, true} {
		for _, byQuery := range []bool{true, false} {
			for _, jobs := range []int{1, 3} {
				l := workload{twins, byQuery, jobs}
				small := c.tier == throttle.S1 && (jobs == 1 || byQuery && !twins) || jobs == 1 && byQuery && !twins
				if (small || !b.small) && strings.Contains(c.key(l), b.cases) {
					all = append(all, l)
				}
			}
		}
	}
	return all
}

// limits are what a hub allows per second of real time.
type limits struct{ calls, pages float64 }

func (c tierCase) limits(twins bool) limits {
	op := throttle.Methods
	if twins {
		op = throttle.TwinUpdates
	}
	real := c.scale / time.Minute.Seconds()
	return limits{float64(c.tier.PerMinute(op, 1)) * real, float64(c.tier.PerMinute(throttle.Queries, 1)) * real}
}

// devices is how many a workload needs to last for some seconds.
func (c tierCase) devices(l workload, seconds float64) int {
	rates := c.limits(l.twins)
	perSecond := rates.calls
	if l.byQuery {
		perSecond = min(perSecond, rates.pages*page)
	}
	return min(int(perSecond*seconds), job.MaxDeviceIDs)
}

func (c tierCase) hub() hubOptions {
	return hubOptions{TimeScale: c.scale, Throttle: throttle.Options{Tier: c.tier, Burst: -1, Queue: time.Duration(c.scale * float64(time.Second))}}
}

// scaledSettings tells the app which tier its hub has and, where the hub's clock runs faster, the rates that follow.
func scaledSettings(hub hubOptions) map[string]string {
	settings := map[string]string{"FLEETJOBS_HUB_TIER": string(hub.Throttle.Tier), "FLEETJOBS_HUB_UNITS": "1"}
	if hub.TimeScale == 1 {
		return settings
	}
	for name, op := range map[string]throttle.Operation{
		"FLEETJOBS_METHODS_PER_SECOND": throttle.Methods, "FLEETJOBS_TWIN_UPDATES_PER_SECOND": throttle.TwinUpdates,
	} {
		settings[name] = decimal(float64(hub.Throttle.Tier.PerMinute(op, 1)) * hub.TimeScale / time.Minute.Seconds())
	}
	settings["FLEETJOBS_QUERIES_PER_MINUTE"] = decimal(float64(hub.Throttle.Tier.PerMinute(throttle.Queries, 1)) * hub.TimeScale)
	return settings
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// throttled measures how much of what a hub allows jobs make use of, and how often the hub refuses.
func throttled(ctx context.Context, b *bench) (table, error) {
	var t table
	for _, c := range tierCases() {
		if len(b.workloads(c)) == 0 {
			continue
		}
		if err := b.throttledTier(ctx, c, &t); err != nil {
			return t, fmt.Errorf("tier %s: %w", c.tier, err)
		}
	}
	if len(t.rows) == 0 {
		return t, fmt.Errorf("no case has %q in its name", b.cases)
	}
	t.notes = append(t.notes,
		"One unit. The share is the least time that the binding allowance permits (the slower of queries and calls for a query, the calls for "+
			"a list of ids) over the time from due to last outcome. The hub meters strictly, without any burst, and queues for a second.",
		"The clock of S1 and S2 hubs runs ten times as fast, and the app is told ten times the rates.")
	return t, nil
}

func (b *bench) throttledTier(ctx context.Context, c tierCase, t *table) (err error) {
	seconds := 30.0
	if b.small {
		seconds = 3
	}
	hub := c.hub()
	for _, l := range b.workloads(c) {
		hub.Devices = max(hub.Devices, c.devices(l, seconds))
	}
	w, err := startWorld(ctx, worldOptions{hub: hub, settings: scaledSettings(hub), app: b.app})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.warmConnections(ctx); err != nil {
		return err
	}
	for _, l := range b.workloads(c) {
		specs, err := l.specs(hub.Devices, c.devices(l, seconds))
		if err != nil {
			return err
		}
		if err := w.hub.reset(); err != nil {
			return err
		}
		took, err := w.runTogether(ctx, specs)
		if err != nil {
			return err
		}
		stats, err := w.hub.stats()
		if err != nil {
			return err
		}
		key, name := c.key(l), fmt.Sprintf("%s, %s", c.tier, l)
		t.add(key, name+": share of the allowance", "", c.least(l, specs)/took).goal = atLeast(0.98)
		t.add(key+"Refused", name+": calls answered 429", "", refused(stats.Throttle)).goal = atMost(0.01)
	}
	return nil
}

// warmConnections runs a job that the hub hardly notices.
func (w *world) warmConnections(ctx context.Context) error {
	ids, err := deviceIDs(20)
	if err != nil {
		return err
	}
	_, err = w.runJob(ctx, jobSpec{devices: len(ids), ids: ids})
	return err
}

func (l workload) String() string {
	text := "methods"
	if l.twins {
		text = "twins"
	}
	if l.byQuery {
		text += " by query"
	} else {
		text += " by list"
	}
	if l.jobs > 1 {
		return fmt.Sprintf("%s, %d jobs", text, l.jobs)
	}
	return text + ", alone"
}

// key is what -cases and dist/bench.json call a workload at a tier.
func (c tierCase) key(l workload) string {
	key := string(c.tier) + "Methods"
	if l.twins {
		key = string(c.tier) + "Twins"
	}
	if l.byQuery {
		key += "Query"
	} else {
		key += "List"
	}
	return key + strconv.Itoa(l.jobs)
}

// buildings is how many buildings the fleet has: each device is in one by chance.
const buildings = 60

// specs splits about as many devices of a fleet among the workload's jobs.
func (l workload) specs(fleetSize, devices int) ([]jobSpec, error) {
	due := soon()
	specs := make([]jobSpec, l.jobs)
	if !l.byQuery {
		ids, err := deviceIDs(devices)
		for i := range specs {
			part := ids[len(ids)*i/l.jobs : len(ids)*(i+1)/l.jobs]
			specs[i] = jobSpec{devices: len(part), twins: l.twins, ids: part, due: due}
		}
		return specs, err
	}
	fleet, err := fleetsim.New(fleetsim.Options{Devices: fleetSize})
	if err != nil {
		return nil, err
	}
	used := max(l.jobs, int(math.Round(buildings*float64(devices)/float64(fleetSize))))
	for i := range specs {
		first, last := used*i/l.jobs+1, used*(i+1)/l.jobs
		matching := fleet.Expect(func(d fleetsim.Device) bool {
			building, ok := d.Tags["building"].(int)
			return ok && building >= first && building <= last
		})
		specs[i] = jobSpec{
			devices: matching.Total, twins: l.twins, due: due,
			condition: fmt.Sprintf("tags.building >= %d AND tags.building <= %d", first, last),
		}
	}
	return specs, nil
}

// runTogether runs jobs that are due at one time, and gives the seconds until the last of them had its last outcome.
func (w *world) runTogether(ctx context.Context, specs []jobSpec) (float64, error) {
	outcomes := make([]outcome, len(specs))
	all, jobCtx := errgroup.WithContext(ctx)
	for i, spec := range specs {
		all.Go(func() (err error) {
			outcomes[i], err = w.runJob(jobCtx, spec)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return 0, err
	}
	longest := 0.0
	for i, o := range outcomes {
		_, last, err := w.span(ctx, o.id, specs[i].devices)
		if err != nil {
			return 0, err
		}
		longest = max(longest, last.Sub(o.due).Seconds())
	}
	return longest, nil
}

// least is the seconds that the slowest allowance takes for the jobs. The first page costs no time, and the last page's calls
// come after it.
func (c tierCase) least(l workload, specs []jobSpec) float64 {
	rates := c.limits(l.twins)
	calls, pages := 0, 0
	for _, s := range specs {
		calls += s.devices
		pages += (s.devices + page - 1) / page
	}
	least := float64(calls) / rates.calls
	if l.byQuery {
		least = max(least, float64(pages-1)/rates.pages+float64(min(calls, page))/rates.calls)
	}
	return least
}

// refused is the share of what jobs ask of the hub that it answered 429.
func refused(usage map[throttle.Operation]throttle.Usage) float64 {
	var refused, all int64
	for _, op := range []throttle.Operation{throttle.Methods, throttle.TwinUpdates, throttle.Queries} {
		refused, all = refused+usage[op].Refused, all+usage[op].Requests
	}
	return float64(refused) / float64(max(all, 1))
}
