package interop

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/hubsim/sas"
)

// dotnet is the JobClient of Microsoft.Azure.Devices as it looks on the wire. The SDK for .NET itself is on NuGet alone, which our
// machines do not reach: requests, and what answers must have so that it can read them, are written after its source
// (https://github.com/Azure/azure-iot-sdk-csharp/tree/main/iothub/service/src/JobClient).
type dotnet struct {
	t          *testing.T
	http       *http.Client
	base, auth string
}

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

// send makes one request, and reads the answer into what into points to.
func (d dotnet) send(method, path, body string, into any) http.Header {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, strings.NewReader(body))
	require.NoError(d.t, err)
	r.Header = http.Header{
		"Authorization": {d.auth}, "Accept": {"application/json"}, "User-Agent": {"Microsoft.Azure.Devices/1.39.0 (.NET 8.0.0; Linux; X64)"},
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	response, err := d.http.Do(r)
	require.NoError(d.t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(d.t, err)
	require.NoError(d.t, response.Body.Close())
	require.Equal(d.t, http.StatusOK, response.StatusCode, "%s", text)
	require.NoError(d.t, json.Unmarshal(text, into), "%s", text)
	return response.Header
}

func (d dotnet) job(method, path, body string) dotnetJob {
	d.t.Helper()
	var job dotnetJob
	d.send(method, path+"?api-version=2021-04-12", body, &job)
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

// dotNet is the suite of the JobClient for .NET.
func (w *world) dotNet(t *testing.T, s server) {
	client := w.dotnet(t, s)
	run := func(name string, test func(t *testing.T, d dotnet)) {
		t.Run(name, func(t *testing.T) {
			d := client
			d.t = t
			test(t, d)
		})
	}
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
}

// dotnet makes the client from a connection string, as the SDK signs: the host in small letters, the policy last.
func (w *world) dotnet(t *testing.T, s server) dotnet {
	t.Helper()
	part := map[string]string{}
	for field := range strings.SplitSeq(s.connection, ";") {
		name, value, _ := strings.Cut(field, "=")
		part[name] = value
	}
	key, err := base64.StdEncoding.DecodeString(part["SharedAccessKey"])
	require.NoError(t, err)
	pem, err := os.ReadFile(w.CAFile)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return dotnet{
		t: t, http: &http.Client{Transport: transport}, base: "https://" + part["HostName"],
		auth: sas.New(part["HostName"], part["SharedAccessKeyName"], key, time.Now().Add(time.Hour)),
	}
}
