package job_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// methodJob is a job with one more member.
func methodJob(member string) []byte {
	return []byte(`{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"m"},"queryCondition":"*",` + member + `}`)
}

func TestAJobSaysWhichAnswersMeanSuccess(t *testing.T) {
	t.Parallel()
	const byCode, byValue = `"succeedOn":{"statusCodes":[200,"300-399"]}`, `"succeedOn":{"answer":{"path":"result.parts.1.ok","value":true}}`
	const refusal = `"rejectOn":{"statusCodes":[403],"answer":{"path":"why","value":"busy"}}`
	for _, c := range []struct {
		members string
		status  int
		answer  string
		want    job.ExecutionState
	}{
		{`"jobId":"j"`, 204, ``, job.Succeeded},
		{`"jobId":"j"`, 300, ``, job.Failed},
		{byCode, 200, ``, job.Succeeded},
		{byCode, 201, ``, job.Failed},
		{byCode, 300, ``, job.Succeeded},
		{byCode, 399, ``, job.Succeeded},
		{byCode, 400, ``, job.Failed},
		{byValue, 200, `{"result":{"parts":[{"ok":false},{"ok":true}]}}`, job.Succeeded},
		{byValue, 500, `{"result":{"parts":[{"ok":false},{"ok":true}]}}`, job.Failed},
		{byValue, 200, `{"result":{"parts":[{"ok":true}]}}`, job.Failed},
		{byValue, 200, `{"result":{"parts":7}}`, job.Failed},
		{byValue, 200, `null`, job.Failed},
		{byValue, 200, ``, job.Failed},
		{`"succeedOn":{"answer":{"path":"n","value":1}}`, 200, `{"n":1.0}`, job.Succeeded},
		{`"succeedOn":{"answer":{"path":"n","value":1}}`, 200, `{"n":"1"}`, job.Failed},
		{`"succeedOn":{"answer":{"path":"n","value":null}}`, 200, `{"n":null}`, job.Succeeded},
		{`"succeedOn":{"answer":{"path":"n","value":null}}`, 200, `{}`, job.Failed},
		{refusal, 403, `{"why":"busy"}`, job.Rejected},
		{refusal, 403, `{"why":"lazy"}`, job.Failed},
		{refusal, 200, `{"why":"busy"}`, job.Succeeded},
		{`"rejectOn":{"statusCodes":[200]}`, 200, ``, job.Rejected},
	} {
		def, err := job.Decode(methodJob(c.members), time.Now())
		require.NoError(t, err, c.members)
		got := def.Judge(c.status, []byte(c.answer))
		require.Equal(t, c.want, got.State, "%s: %d %s", c.members, c.status, c.answer)
		require.Equal(t, c.status, got.StatusCode)
		require.Equal(t, c.want == job.Succeeded, got.Reason == job.NoReason)
		text, err := json.Marshal(def)
		require.NoError(t, err)
		again := job.Definition{}
		require.NoError(t, json.Unmarshal(text, &again), "a stored job comes back")
		require.Equal(t, def.FailurePolicy, again.FailurePolicy)
	}
}

func TestRulesForAnswersAreChecked(t *testing.T) {
	t.Parallel()
	for member, fault := range map[string]string{
		`"succeedOn":{}`:                                `succeedOn: {}: must have statusCodes, answer, or both`,
		`"succeedOn":{"statusCodes":[]}`:                `succeedOn.statusCodes: []: must be an array of 1 to 50 statuses and ranges like 200 and "200-299", from -2147483648 to 2147483647`,
		`"rejectOn":{"statusCodes":["299-200"]}`:        `rejectOn.statusCodes: ["299-200"]: must be an array of 1 to 50 statuses and ranges like 200 and "200-299", from -2147483648 to 2147483647`,
		`"rejectOn":{"statusCode":[200]}`:               `rejectOn.statusCode: [200]: is not a known member; did you mean "statusCodes"?; rejectOn: {"statusCode":[200]}: must have statusCodes, answer, or both`,
		`"rejectOn":{"answer":{"path":"","value":1}}`:   `rejectOn.answer.path: "": must be 1 to 256 bytes: names of members, or numbers of elements, with dots between them`,
		`"rejectOn":{"answer":{"path":"a","value":{}}}`: `rejectOn.answer.value: {}: is required: a string, number, boolean or null of at most 256 bytes`,
		`"rejectOn":{"answer":{"path":"a"}}`:            `rejectOn.answer.value: is required: a string, number, boolean or null of at most 256 bytes`,
		`"timeout":{}`:                                  `timeout: {}: must have notStarted, inProgress, or both`,
		`"timeout":{"inProgress":"PT11M"}`:              `timeout.inProgress: "PT11M": must be an ISO 8601 duration from PT1S to PT10M`,
		`"timeout":{"notstarted":"PT1M"}`:               `timeout.notstarted: "PT1M": is not a known member; did you mean "notStarted"?; timeout: {"notstarted":"PT1M"}: must have notStarted, inProgress, or both`,
		`"deliveryGuarantee":"exactlyOnce"`:             `deliveryGuarantee: "exactlyOnce": must be "atLeastOnce" or "atMostOnce"`,
		`"deliveryGuarantee":"atMostOnce","retry":{"criteria":[{"numberOfRetries":1}]}`: `retry: with deliveryGuarantee atMostOnce only "deviceOffline" and "deviceNotFound" can be retried: other devices may have been called`,
	} {
		_, err := job.Decode(methodJob(member), time.Now())
		require.EqualError(t, err, fault, member)
	}
	_, err := job.Decode(twinJob(`"succeedOn":{"statusCodes":[200]}`), time.Now())
	require.EqualError(t, err, "succeedOn: goes with type scheduleDeviceMethod only")
}
