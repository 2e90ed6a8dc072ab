package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
	"github.com/fleetjobs/fleetjobs/internal/fleetsim"
	"github.com/fleetjobs/fleetjobs/internal/hubsim/fault"
)

// reboot calls a method on all devices with a tag, and compares what the job says with what the simulator knows.
func (c *demo) reboot(ctx context.Context) error {
	expected := c.stack.Fleet.Expect(func(d fleetsim.Device) bool { return d.Tags["env"] == "prod" })
	c.printf("\n2. A reboot of the devices with tags.env = 'prod': %s of %s.\n\n", count(expected.Total), count(c.stack.Fleet.Len()))
	before := c.stack.Hub.CallCounts(fault.Methods)
	err := c.create(ctx, &client.Definition{
		JobID: "reboot-prod", Type: client.TypeMethod, QueryCondition: "tags.env = 'prod'",
		Method: &client.Method{Name: "reboot", Payload: json.RawMessage(`{"delaySeconds":1}`), ResponseTimeoutInSeconds: 5},
	})
	if err != nil {
		return err
	}
	progress := &progressReader{api: c.api}
	job, err := (&watch{m: c.m, api: progress, id: "reboot-prod", interval: 500 * time.Millisecond}).follow(ctx)
	if err != nil {
		return err
	}
	if err := c.m.summary(job); err != nil {
		return err
	}
	took := job.EndTime.Sub(job.StartedTime)
	c.printf("\n%s devices a second.\n", perSecond(float64(job.Done())/max(took.Seconds(), 0.001)))
	c.check(progress.grew || job.Done() < 1000, "the job showed no progress before its end")
	c.checkCounts(job, expected)
	c.checkCalls(before, expected)
	return c.checkExecutions(ctx, job)
}

// progressReader notes whether progress was seen while the job ran.
type progressReader struct {
	api  jobReader
	grew bool
}

// Job implements jobReader.
func (p *progressReader) Job(ctx context.Context, id string) (*client.Job, error) {
	job, err := p.api.Job(ctx, id)
	if err == nil && !job.Ended() && job.Done() > 0 {
		p.grew = true
	}
	return job, err
}

func (c *demo) checkCounts(job *client.Job, expected fleetsim.Expectation) {
	s := job.Statistics
	c.check(job.Status == "completed", "the reboot is %s", job.Status)
	c.check(s.DeviceCount == expected.Total, "%d devices instead of %d", s.DeviceCount, expected.Total)
	c.check(s.PendingCount+s.RunningCount+s.SucceededCount+s.FailedCount == s.DeviceCount, "the counts do not add up: %+v", s)
	c.check(s.SucceededCount == expected.Answering, "%d devices succeeded instead of %d", s.SucceededCount, expected.Answering)
	for reason, n := range map[string]int{
		"deviceOffline": expected.Offline, "deviceError": expected.Failing, "deviceNoAnswer": expected.Silent,
	} {
		c.check(job.FailureReasons[reason] == n, "%d devices with the reason %s instead of %d", job.FailureReasons[reason], reason, n)
	}
}

// checkCalls looks at the simulator's journal: every device that can be reached was called once.
func (c *demo) checkCalls(before map[string]int, expected fleetsim.Expectation) {
	reached, again := 0, 0
	for id, n := range c.stack.Hub.CallCounts(fault.Methods) {
		switch n - before[id] {
		case 0:
		case 1:
			reached++
		default:
			again++
		}
	}
	c.check(again == 0, "%d devices were called more than once", again)
	c.check(reached+again == expected.Total-expected.Offline, "%d devices were reached instead of %d", reached+again, expected.Total-expected.Offline)
}

// checkExecutions reads what became of each device: each is there once, and their states add up to the job's counts.
func (c *demo) checkExecutions(ctx context.Context, job *client.Job) error {
	seen, states := map[string]bool{}, map[string]int{}
	options := client.ListOptions{PageSize: executionsPage}
	for {
		page, err := c.api.Executions(ctx, job.ID, options)
		if err != nil {
			return err
		}
		for i := range page.Executions {
			e := &page.Executions[i]
			c.check(!seen[e.DeviceID], "device %s is listed twice", e.DeviceID)
			seen[e.DeviceID] = true
			states[e.Status]++
		}
		if page.Continuation == "" {
			break
		}
		options.Continuation = page.Continuation
	}
	c.check(len(seen) == job.Statistics.DeviceCount, "%d devices are listed instead of %d", len(seen), job.Statistics.DeviceCount)
	for state, n := range job.ExecutionStatistics {
		c.check(states[state] == n, "%d devices are listed as %s instead of %d", states[state], state, n)
	}
	return nil
}
