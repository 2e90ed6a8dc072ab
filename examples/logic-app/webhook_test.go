package logicapp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// subscribed waits until a workflow has handed its address over.
func (s *stub) subscribed(t *testing.T, ran <-chan error) string {
	t.Helper()
	select {
	case address := <-s.call:
		return address
	case err := <-ran:
		require.FailNow(t, "the run ended before it subscribed", "%v", err)
		return ""
	}
}

// callBack tells the end of the job as a CloudEvent.
func (s *stub) callBack(t *testing.T, address string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"specversion": "1.0", "type": "io.fleetjobs.job.completed", "data": s.job})
	require.NoError(t, err)
	resp, err := http.Post(address, "application/cloudevents+json", bytes.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestACallbackWakesTheWorkflowAndTheJobIsRead(t *testing.T) {
	t.Parallel()
	w := load(t, "workflow-webhook.json")
	for name, o := range outcomes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStub(t, o.job)
			e := newEngine(t, s.URL)
			ran := make(chan error, 1)
			go func() { ran <- e.run(t.Context(), w.Definition.Actions) }()
			s.callBack(t, s.subscribed(t, ran))

			o.hold(t, e, <-ran)
			job := "/api/jobs/" + jobID
			require.Equal(t, append([]string{"PUT " + job, "GET " + job}, o.more...), e.calls)
		})
	}
}

func TestCancellingTheRunOfAWorkflowCancelsTheJob(t *testing.T) {
	t.Parallel()
	w := load(t, "workflow-webhook.json")
	s := newStub(t, ended("cancelled", 0, 0))
	e := newEngine(t, s.URL)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- e.run(ctx, w.Definition.Actions) }()
	s.subscribed(t, ran)
	cancel()

	require.ErrorIs(t, <-ran, context.Canceled)
	require.Equal(t, "POST /api/jobs/"+jobID+"/cancel", e.calls[len(e.calls)-1])
	require.Equal(t, []string{"Lock_the_doors"}, e.ran)
}

// The same against a whole deployment, whose own callback wakes the workflow.
func TestACallbackOfADeployment(t *testing.T) {
	s := deploy(t, map[string]string{"FLEETJOBS_CALLBACK_ALLOW": "127.0.0.1"})
	e := newEngine(t, s.URL)
	e.parameters["hostKey"] = s.Key
	e.trigger = map[string]any{"building": 1}

	require.NoError(t, e.run(t.Context(), load(t, "workflow-webhook.json").Definition.Actions))
	requireReport(t, e, "Read_the_job")
	require.Equal(t, []string{"PUT /api/jobs/" + jobID, "GET /api/jobs/" + jobID}, e.calls[:2])
	event := e.bodies["Lock_the_doors"].(map[string]any)
	require.Equal(t, jobID, event["subject"])
	require.Equal(t, jobID, event["data"].(map[string]any)["jobId"])
}
