package interop

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

// dotnet is a service client of Microsoft.Azure.Devices as it looks on the wire. The SDK for .NET itself is on NuGet alone, which
// our machines do not reach: requests, and what answers must have so that it can read them, are written after its source, here
// that of JobClient (https://github.com/Azure/azure-iot-sdk-csharp/tree/main/iothub/service/src/JobClient).
type dotnet struct {
	t          *testing.T
	http       *http.Client
	base, auth string
}

// dotnetVersion is the query of most requests.
const dotnetVersion = "?api-version=2021-04-12"

// dotnetJob is what the SDK reads of a job. It refuses a job without type, and words that its enumerations have not.
type dotnetJob struct {
	JobID               string         `json:"jobId"`
	Type                string         `json:"type"`
	Status              string         `json:"status"`
	QueryCondition      string         `json:"queryCondition"`
	CreatedTime         *time.Time     `json:"createdTime"`
	StartTime           *time.Time     `json:"startTime"`
	EndTime             *time.Time     `json:"endTime"`
	MaxExecutionTime    int64          `json:"maxExecutionTimeInSeconds"`
	CloudToDeviceMethod *dotnetMethod  `json:"cloudToDeviceMethod"`
	UpdateTwin          map[string]any `json:"updateTwin"`
	Statistics          map[string]int `json:"deviceJobStatistics"`
}

type dotnetMethod struct {
	Name    string          `json:"methodName"` // must be there
	Payload json.RawMessage `json:"payload"`
}

func (j dotnetJob) valid() error {
	switch {
	case !slices.Contains([]string{"unknown", "export", "import", "scheduleDeviceMethod", "scheduleUpdateTwin"}, j.Type):
		return fmt.Errorf("type %q", j.Type)
	case !slices.Contains([]string{"unknown", "enqueued", "running", "completed", "failed", "cancelled", "scheduled", "queued"}, j.Status):
		return fmt.Errorf("status %q", j.Status)
	case j.CloudToDeviceMethod != nil && j.CloudToDeviceMethod.Name == "":
		return fmt.Errorf("a method without a name")
	}
	return nil
}

// dotnetAnswer is an answer with what its body was.
type dotnetAnswer struct {
	status int
	header http.Header
	body   []byte
}

// exchange makes one request, with the headers of
// https://github.com/Azure/azure-iot-sdk-csharp/blob/main/common/src/service/HttpClientHelper.cs: UserAgent is how .NET prints the
// name of the header that it means.
func (d dotnet) exchange(method, path, body string, header ...string) dotnetAnswer {
	d.t.Helper()
	answer, err := d.try(method, path, body, header...)
	require.NoError(d.t, err)
	return answer
}

func (d dotnet) try(method, path, body string, header ...string) (dotnetAnswer, error) {
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, strings.NewReader(body))
	if err != nil {
		return dotnetAnswer{}, err
	}
	r.Header = http.Header{
		"Authorization": {d.auth}, "Accept": {"application/json"}, "User-Agent": nil,
		"UserAgent": {"Microsoft.Azure.Devices/1.39.0 (.NET 8.0.0; Linux; X64)"},
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := d.http.Do(r)
	if err != nil {
		return dotnetAnswer{}, err
	}
	text, err := io.ReadAll(response.Body)
	return dotnetAnswer{response.StatusCode, response.Header, text}, errors.Join(err, response.Body.Close())
}

// send makes one request, and reads the answer into what into points to.
func (d dotnet) send(method, path, body string, into any, header ...string) http.Header {
	d.t.Helper()
	answer := d.exchange(method, path, body, header...)
	require.Equal(d.t, http.StatusOK, answer.status, "%s", answer.body)
	require.NoError(d.t, json.Unmarshal(answer.body, into), "%s", answer.body)
	return answer.header
}

type dotnetRefusal struct {
	status int
	word   string
}

// refused makes a request that must fail. Which exception the SDK throws follows from status alone, its code from a word that
// must stand in the message and in a header
// (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/common/src/service/ExceptionHandlingHelper.cs).
func (d dotnet) refused(want dotnetRefusal, method, path, body string, header ...string) {
	d.t.Helper()
	answer := d.exchange(method, path, body, header...)
	require.Equal(d.t, want.status, answer.status, "%s", answer.body)
	var envelope struct{ Message string }
	require.NoError(d.t, json.Unmarshal(answer.body, &envelope), "%s", answer.body)
	first, _, _ := strings.Cut(envelope.Message, ";")
	require.Equal(d.t, "ErrorCode:"+want.word, first)
	require.Equal(d.t, want.word, answer.header.Get("iothub-errorcode"))
}

func (d dotnet) job(method, path, body string) dotnetJob {
	d.t.Helper()
	var job dotnetJob
	d.send(method, path+dotnetVersion, body, &job)
	require.NoError(d.t, job.valid())
	return job
}

func (d dotnet) ended(id string) dotnetJob {
	d.t.Helper()
	var job dotnetJob
	require.Eventually(d.t, func() bool {
		job = d.job(http.MethodGet, "/jobs/v2/"+id, "")
		return slices.Contains([]string{"completed", "failed", "cancelled"}, job.Status)
	}, time.Minute, 100*time.Millisecond)
	return job
}

// run runs a test with the client.
func (d dotnet) run(name string, test func(t *testing.T, d dotnet)) {
	client := d
	d.t.Run(name, func(t *testing.T) {
		d := client
		d.t = t
		test(t, d)
	})
}

// dotnetJobs is the suite of the JobClient for .NET.
func (w *world) dotnetJobs(t *testing.T, s server) {
	run := w.dotnet(t, s).run
	newID := func() string { return "net-" + uuid.NewString() }
	start := func(ahead time.Duration) string {
		return time.Now().Add(ahead).UTC().Format("2006-01-02T15:04:05.0000000Z")
	}

	run("a method job", func(t *testing.T, d dotnet) {
		id := newID()
		created := d.job(http.MethodPut, "/jobs/v2/"+id, `{"jobId":"`+id+`","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor",`+
			`"responseTimeoutInSeconds":15,"payload":{"lockTime":"10m"}},"queryCondition":"STARTSWITH(deviceId, 'dev-')","startTime":"`+start(0)+`","maxExecutionTimeInSeconds":60}`)
		require.Equal(t, id, created.JobID)
		job := d.ended(id)
		require.Equal(t, "completed", job.Status)
		require.Equal(t, "lockDoor", job.CloudToDeviceMethod.Name)
		require.JSONEq(t, `{"lockTime":"10m"}`, string(job.CloudToDeviceMethod.Payload))
		require.Equal(t, simulated, job.Statistics["succeededCount"])
		require.EqualValues(t, 60, job.MaxExecutionTime)
		require.False(t, job.CreatedTime.After(*job.EndTime))
	})
	run("a twin job, with a whole twin and no time limit", func(t *testing.T, d dotnet) {
		id := newID()
		d.job(http.MethodPut, "/jobs/v2/"+id, `{"jobId":"`+id+`","type":"scheduleUpdateTwin","updateTwin":{"deviceId":null,"etag":"*","version":null,"tags":{"by":"net"},`+
			`"properties":{"desired":{"run":"`+id+`"},"reported":{}}},"queryCondition":"deviceId = 'dev-000002'","startTime":"`+start(0)+`"}`)
		job := d.ended(id)
		require.Equal(t, "completed", job.Status)
		require.Equal(t, 1, job.Statistics["succeededCount"])
		require.Equal(t, map[string]any{"run": id}, job.UpdateTwin["properties"].(map[string]any)["desired"])
	})
	run("a job for later is listed under the words of C#, and cancelled", func(t *testing.T, d dotnet) {
		id := newID()
		d.job(http.MethodPut, "/jobs/v2/"+id, `{"jobId":"`+id+`","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor","payload":null},`+
			`"queryCondition":"*","startTime":"`+start(time.Hour)+`","maxExecutionTimeInSeconds":60}`)
		require.Eventually(t, func() bool { return d.job(http.MethodGet, "/jobs/v2/"+id, "").Status == "scheduled" }, time.Minute, 100*time.Millisecond)
		var listed []dotnetJob
		header := d.send(http.MethodGet, "/jobs/v2/query?api-version=2021-04-12&jobType=ScheduleDeviceMethod&jobStatus=Scheduled", "", &listed)
		require.Equal(t, "JobResponse", header.Get("x-ms-item-type"))
		require.True(t, slices.ContainsFunc(listed, func(j dotnetJob) bool { return j.JobID == id && j.valid() == nil }))
		d.job(http.MethodPost, "/jobs/v2/"+id+"/cancel", "")
		require.Equal(t, "cancelled", d.ended(id).Status)
	})
	run("an unknown job", func(t *testing.T, d dotnet) {
		require.Equal(t, "unknown", d.job(http.MethodGet, "/jobs/v2/"+newID(), "").Status)
	})
	run("an id is taken once", func(_ *testing.T, d dotnet) {
		id := newID()
		body := `{"jobId":"` + id + `","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor","payload":null},"queryCondition":"deviceId = 'dev-000001'"}`
		d.job(http.MethodPut, "/jobs/v2/"+id, body)
		d.refused(dotnetRefusal{http.StatusConflict, "JobAlreadyExists"}, http.MethodPut, "/jobs/v2/"+id+dotnetVersion, body)
	})
}

// dotnet makes the client from a connection string, as the SDK signs: the host in small letters, the policy last.
func (w *world) dotnet(t *testing.T, s server) dotnet {
	t.Helper()
	part := parts(s.connection)
	key := decoded(t, part["SharedAccessKey"])
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots(t), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return dotnet{
		t: t, http: &http.Client{Transport: transport}, base: "https://" + part["HostName"],
		auth: sas.New(part["HostName"], part["SharedAccessKeyName"], key, time.Now().Add(time.Hour)),
	}
}

// parts are those of a connection string.
func parts(connection string) map[string]string {
	part := map[string]string{}
	for field := range strings.SplitSeq(connection, ";") {
		name, value, _ := strings.Cut(field, "=")
		part[name] = value
	}
	return part
}

func decoded(t *testing.T, key string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key)
	require.NoError(t, err)
	return raw
}
