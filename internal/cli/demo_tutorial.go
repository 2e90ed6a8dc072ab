package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
	"github.com/fleetjobs/fleetjobs/internal/devstack"
)

// punctual is how late a job may call its first device.
const punctual = 2 * time.Second

// tutorial is https://learn.microsoft.com/azure/iot-hub/iot-hub-node-node-schedule-jobs: one method, one twin update.
func (c *demo) tutorial(ctx context.Context, device *lockedWriter) error {
	c.printf("\n1. The tutorial: the door of %s is locked in 20 seconds, its properties change in 10.\n\n", devstack.MQTTDeviceID(0))
	now := c.m.Now().Round(time.Millisecond)
	target := []string{devstack.MQTTDeviceID(0)}
	lock := client.Definition{
		JobID: "tutorial-lock", Type: client.TypeMethod, DeviceIDs: target, StartTime: now.Add(20 * time.Second).UTC(),
		Method: &client.Method{Name: "lockDoor", Payload: json.RawMessage(`{"lockTime":"10m"}`)},
	}
	move := client.Definition{
		JobID: "tutorial-move", Type: client.TypeTwin, DeviceIDs: target, StartTime: now.Add(10 * time.Second).UTC(),
		UpdateTwin: &client.TwinUpdate{Properties: &client.TwinProperties{Desired: json.RawMessage(`{"building":43,"floor":3}`)}},
	}
	for _, def := range []*client.Definition{&lock, &move} {
		if err := c.create(ctx, def); err != nil {
			return err
		}
	}
	for _, def := range []*client.Definition{&move, &lock} {
		if err := c.tutorialOutcome(ctx, def); err != nil {
			return err
		}
	}
	device.mu.Lock()
	printed := c.device.Bytes()
	device.mu.Unlock()
	c.check(bytes.Contains(printed, []byte(`method lockDoor {"lockTime":"10m"} -> 200`)), "the device was not asked to lock its door")
	c.check(bytes.Contains(printed, []byte(`"building":43`)), "the device was not told its new properties")
	return nil
}

func (c *demo) create(ctx context.Context, def *client.Definition) error {
	body, err := json.Marshal(def)
	if err != nil {
		return fmt.Errorf("writing job %s: %w", def.JobID, err)
	}
	_, err = c.api.Create(ctx, def.JobID, body)
	return err
}

func (c *demo) tutorialOutcome(ctx context.Context, def *client.Definition) error {
	job, err := c.untilEnd(ctx, def.JobID)
	if err != nil {
		return err
	}
	e, err := c.api.Execution(ctx, def.JobID, def.DeviceIDs[0], client.ListOptions{})
	if err != nil {
		return err
	}
	late := e.StartTime.Sub(def.StartTime)
	c.printf("job %s: %s, %s late; the device %s, answer: %s\n", job.ID, job.Status, short(late), e.Status, plain(answer(e)))
	c.check(job.AllSucceeded() && job.Statistics.DeviceCount == 1, "job %s is %s with %+v", job.ID, job.Status, job.Statistics)
	c.check(e.Status == "succeeded", "the device of job %s is %s", job.ID, e.Status)
	c.check(late >= 0 && late <= punctual, "job %s called its device %s after its start time", job.ID, late)
	return nil
}
