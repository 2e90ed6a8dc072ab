package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// dotnetTime is a DateTime: with or without zone, and never null.
type dotnetTime struct{ time.Time }

// UnmarshalJSON implements [json.Unmarshaler].
func (t *dotnetTime) UnmarshalJSON(text []byte) error {
	var err error
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if t.Time, err = time.Parse(`"`+layout+`"`, string(text)); err == nil {
			return nil
		}
	}
	return err
}

// dotnetIdentity is a Device (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/iothub/service/src/Device.cs), with what the
// SDK sends of it.
type dotnetIdentity struct {
	ID                         string     `json:"deviceId"`
	GenerationID               *string    `json:"generationId"`
	ETag                       *string    `json:"etag"`
	ConnectionState            string     `json:"connectionState"`
	Status                     string     `json:"status"`
	StatusReason               *string    `json:"statusReason"`
	ConnectionStateUpdatedTime dotnetTime `json:"connectionStateUpdatedTime"`
	StatusUpdatedTime          dotnetTime `json:"statusUpdatedTime"`
	LastActivityTime           dotnetTime `json:"lastActivityTime"`
	Messages                   int        `json:"cloudToDeviceMessageCount"`
	Authentication             struct {
		SymmetricKey struct {
			Primary   *string `json:"primaryKey"`
			Secondary *string `json:"secondaryKey"`
		} `json:"symmetricKey"`
		Thumbprint struct {
			Primary   *string `json:"primaryThumbprint"`
			Secondary *string `json:"secondaryThumbprint"`
		} `json:"x509Thumbprint"`
		Type string `json:"type"`
	} `json:"authentication"`
	Capabilities struct {
		IotEdge bool `json:"iotEdge"`
	} `json:"capabilities"`
}

// dotnetTwin is what TwinJsonConverter reads (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/shared/src/TwinJsonConverter.cs).
// Tags that are there must be an object: null is an exception.
type dotnetTwin struct {
	ID                 string          `json:"deviceId"`
	ETag               string          `json:"etag"`
	Version            int64           `json:"version"`
	Status             string          `json:"status"`
	StatusUpdateTime   dotnetTime      `json:"statusUpdateTime"`
	ConnectionState    string          `json:"connectionState"`
	LastActivityTime   dotnetTime      `json:"lastActivityTime"`
	Messages           int             `json:"cloudToDeviceMessageCount"`
	AuthenticationType string          `json:"authenticationType"`
	Tags               json.RawMessage `json:"tags"`
	Properties         struct {
		Desired  map[string]any `json:"desired"`
		Reported map[string]any `json:"reported"`
	} `json:"properties"`
	Capabilities map[string]bool `json:"capabilities"`
}

func (d dotnet) checkTwin(twin dotnetTwin) {
	d.t.Helper()
	require.Contains(d.t, []string{"enabled", "disabled"}, twin.Status)
	require.Contains(d.t, []string{"Connected", "Disconnected"}, twin.ConnectionState)
	require.Contains(d.t, []string{"sas", "selfSigned", "certificateAuthority", "none"}, twin.AuthenticationType)
	require.NotEqual(d.t, "null", string(twin.Tags))
	require.NotZero(d.t, twin.Properties.Desired["$version"])
	require.NotZero(d.t, twin.Properties.Reported["$version"])
}

// dotnetRow is a DeviceJob (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/iothub/service/src/DeviceJob.cs).
type dotnetRow struct {
	DeviceID string     `json:"deviceId"`
	JobID    string     `json:"jobId"`
	JobType  string     `json:"jobType"`
	Status   string     `json:"status"`
	Start    dotnetTime `json:"startTimeUtc"`
	End      dotnetTime `json:"endTimeUtc"`
	Created  dotnetTime `json:"createdDateTimeUtc"`
	Updated  dotnetTime `json:"lastUpdatedDateTimeUtc"`
	Outcome  *struct {
		Response struct {
			Status  int             `json:"status"`
			Payload json.RawMessage `json:"payload"`
		} `json:"deviceMethodResponse"`
	} `json:"outcome"`
}

// escaped is an id in a path as WebUtility.UrlEncode writes it.
func escaped(id string) string { return url.QueryEscape(id) }

// twin reads a twin, or changes one.
func (d dotnet) twin(method, id, body string, header ...string) dotnetTwin {
	d.t.Helper()
	var twin dotnetTwin
	d.send(method, "/twins/"+escaped(id)+dotnetVersion, body, &twin, header...)
	d.checkTwin(twin)
	return twin
}

// query runs a query to its end, page by page. The SDK refuses an item type that it does not know, or that was not asked for, by
// the letter (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/iothub/service/src/Query.cs).
func (d dotnet) query(sql, itemType string, pageSize int, page func(rows []json.RawMessage)) {
	d.t.Helper()
	body, err := json.Marshal(map[string]string{"query": sql})
	require.NoError(d.t, err)
	header := []string{"x-ms-max-item-count", fmt.Sprint(pageSize)}
	for pages := 0; ; pages++ {
		require.Less(d.t, pages, 50, "the pages do not end")
		var rows []json.RawMessage
		got := d.send(http.MethodPost, "/devices/query"+dotnetVersion, string(body), &rows, header...)
		require.Equal(d.t, itemType, got.Get("x-ms-item-type"))
		require.LessOrEqual(d.t, len(rows), pageSize)
		page(rows)
		next := got.Get("x-ms-continuation")
		if next == "" {
			return
		}
		header = append(header[:2:2], "x-ms-continuation", next)
	}
}

// dotnetService is the suite of RegistryManager and ServiceClient for .NET
// (https://github.com/Azure/azure-iot-sdk-csharp/blob/main/iothub/service/src/HttpRegistryManager.cs, AmqpServiceClient.cs for
// what goes over HTTPS).
func (w *world) dotnetService(t *testing.T, s server) {
	run := w.dotnet(t, s).run
	run("an identity over its life", dotnetIdentities)
	run("many identities at once", dotnetBulk)
	run("a twin is changed if it is the one that was read", dotnetTwins)
	run("queries", dotnetQueries)
	run("rows of a job", dotnetRows)
	run("statistics", func(t *testing.T, d dotnet) {
		var registry struct{ TotalDeviceCount, EnabledDeviceCount, DisabledDeviceCount int64 }
		d.send(http.MethodGet, "/statistics/devices"+dotnetVersion, "", &registry)
		require.GreaterOrEqual(t, registry.TotalDeviceCount, int64(simulated))
		var service struct{ ConnectedDeviceCount int64 }
		d.send(http.MethodGet, "/statistics/service"+dotnetVersion, "", &service)
		require.GreaterOrEqual(t, service.ConnectedDeviceCount, int64(simulated))
	})
	run("a stranger", func(_ *testing.T, d dotnet) {
		d.auth += "x"
		d.refused(dotnetRefusal{http.StatusUnauthorized, "IotHubUnauthorizedAccess"}, http.MethodGet, "/devices/dev-000001"+dotnetVersion, "")
	})
}

func dotnetIdentities(t *testing.T, d dotnet) {
	id := "net:" + uuid.NewString()
	path := "/devices/" + escaped(id) + dotnetVersion
	text := func(device dotnetIdentity) string {
		text, err := json.Marshal(device)
		require.NoError(t, err)
		return string(text)
	}
	// What is read carries the tag of the header, quotes and all, and so it is sent back.
	read := func(header http.Header, device *dotnetIdentity) {
		tag := header.Get("ETag")
		require.Regexp(t, `^"[^"]+"$`, tag)
		require.Equal(t, tag, `"`+*device.ETag+`"`)
		device.ETag = &tag
	}
	device := dotnetIdentity{ID: id, ConnectionState: "Disconnected", Status: "enabled"}
	device.Authentication.Type = "sas"
	var made dotnetIdentity
	read(d.send(http.MethodPut, path, text(device), &made), &made)
	require.NotEmpty(t, *made.Authentication.SymmetricKey.Primary)
	require.NotEmpty(t, *made.GenerationID)
	d.refused(dotnetRefusal{http.StatusConflict, "DeviceAlreadyExists"}, http.MethodPut, path, text(device))

	reason := "lost"
	made.Status, made.StatusReason = "disabled", &reason
	var changed dotnetIdentity
	read(d.send(http.MethodPut, path, text(made), &changed, "If-Match", *made.ETag), &changed)
	require.Equal(t, "disabled", changed.Status)
	require.Equal(t, made.Authentication, changed.Authentication)
	d.refused(dotnetRefusal{http.StatusPreconditionFailed, "PreconditionFailed"}, http.MethodPut, path, text(made), "If-Match", *made.ETag)
	made.Status = "enabled"
	read(d.send(http.MethodPut, path, text(made), &changed, "If-Match", `"*"`), &changed)
	var got dotnetIdentity
	read(d.send(http.MethodGet, path, "", &got), &got)
	require.Equal(t, changed, got)

	answer := d.exchange(http.MethodDelete, path, "", "If-Match", *got.ETag)
	require.Equal(t, http.StatusNoContent, answer.status, "%s", answer.body)
	d.refused(dotnetRefusal{http.StatusNotFound, "DeviceNotFound"}, http.MethodGet, path, "")
	d.refused(dotnetRefusal{http.StatusNotFound, "DeviceNotFound"}, http.MethodDelete, path, "", "If-Match", `"*"`)

	var listed []dotnetIdentity
	d.send(http.MethodGet, "/devices/?top=3&api-version=2021-04-12", "", &listed)
	require.Len(t, listed, 3)
}

func dotnetBulk(t *testing.T, d dotnet) {
	ids := []string{"net-" + uuid.NewString(), "net-" + uuid.NewString()}
	bulk := func(mode string) dotnetAnswer {
		devices := make([]string, len(ids))
		for i, id := range ids {
			devices[i] = `{"id":"` + id + `","importMode":"` + mode + `","status":"enabled","authentication":{"symmetricKey":` +
				`{"primaryKey":null,"secondaryKey":null},"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"}}`
		}
		return d.exchange(http.MethodPost, "/devices/"+dotnetVersion, "["+strings.Join(devices, ",")+"]")
	}
	type result struct {
		IsSuccessful bool
		Errors       []struct {
			DeviceID    string          `json:"deviceId"`
			ErrorCode   json.RawMessage `json:"errorCode"`
			ErrorStatus string          `json:"errorStatus"`
		}
	}
	for _, step := range []struct {
		mode   string
		status int
	}{{"create", http.StatusOK}, {"create", http.StatusBadRequest}, {"delete", http.StatusOK}} {
		answer := bulk(step.mode)
		require.Equal(t, step.status, answer.status, "%s", answer.body)
		var r result
		require.NoError(t, json.Unmarshal(answer.body, &r), "%s", answer.body)
		require.Equal(t, step.status == http.StatusOK, r.IsSuccessful)
		if !r.IsSuccessful {
			// By this header the SDK knows that the answer to be read is the usual one.
			require.Equal(t, "BulkRegistryOperationFailure", answer.header.Get("iothub-errorcode"))
			require.Len(t, r.Errors, len(ids))
			for i, e := range r.Errors {
				require.Equal(t, ids[i], e.DeviceID)
				require.Equal(t, "409001", string(e.ErrorCode), "DeviceAlreadyExists in the SDK's ErrorCode")
			}
		}
	}
}

func dotnetTwins(t *testing.T, d dotnet) {
	id := "net:" + uuid.NewString()
	var made dotnetIdentity
	d.send(http.MethodPut, "/devices/"+escaped(id)+dotnetVersion, `{"deviceId":"`+id+`","status":"enabled"}`, &made)
	before := d.twin(http.MethodGet, id, "")
	// UpdateTwinAsync sends the whole Twin that it was given.
	patch := `{"deviceId":"` + id + `","etag":null,"version":null,"tags":{"by":"net"},"properties":{"desired":{"net":{"a":1,"b":[1,2]}},"reported":{}}}`
	after := d.twin(http.MethodPatch, id, patch, "If-Match", `"`+before.ETag+`"`)
	require.NotEqual(t, before.ETag, after.ETag)
	require.Greater(t, after.Version, before.Version)
	require.Equal(t, map[string]any{"a": 1.0, "b": []any{1.0, 2.0}}, after.Properties.Desired["net"])
	var tags map[string]any
	require.NoError(t, json.Unmarshal(after.Tags, &tags))
	require.Equal(t, "net", tags["by"])
	d.refused(dotnetRefusal{http.StatusPreconditionFailed, "PreconditionFailed"}, http.MethodPatch, "/twins/"+escaped(id)+dotnetVersion, patch, "If-Match", `"`+before.ETag+`"`)

	replaced := d.twin(http.MethodPut, id, `{"deviceId":"`+id+`","etag":null,"version":null,"properties":{"desired":{"only":true},"reported":{}}}`, "If-Match", `"*"`)
	require.Equal(t, true, replaced.Properties.Desired["only"])
	require.NotContains(t, replaced.Properties.Desired, "net")
	require.Equal(t, replaced.ETag, d.twin(http.MethodGet, id, "").ETag)
	d.refused(dotnetRefusal{http.StatusNotFound, "DeviceNotFound"}, http.MethodGet, "/twins/ghost"+dotnetVersion, "")
}

func dotnetQueries(t *testing.T, d dotnet) {
	var ids []string
	d.query("SELECT * FROM devices WHERE STARTSWITH(deviceId, 'dev-')", "Twin", 7, func(rows []json.RawMessage) {
		for _, row := range rows {
			var twin dotnetTwin
			require.NoError(t, json.Unmarshal(row, &twin))
			d.checkTwin(twin)
			ids = append(ids, twin.ID)
		}
	})
	slices.Sort(ids)
	require.Len(t, slices.Compact(ids), simulated)
	d.query("SELECT COUNT() AS n FROM devices WHERE STARTSWITH(deviceId, 'dev-')", "Raw", 10, func(rows []json.RawMessage) {
		require.Len(t, rows, 1)
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, simulated), string(rows[0]))
	})
	d.refused(dotnetRefusal{http.StatusBadRequest, "ArgumentInvalid"}, http.MethodPost, "/devices/query"+dotnetVersion, `{"query":"SELECT nonsense nonsense"}`)
}

func dotnetRows(t *testing.T, d dotnet) {
	id := "net-" + uuid.NewString()
	d.job(http.MethodPut, "/jobs/v2/"+id, `{"jobId":"`+id+`","type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"lockDoor","payload":null},`+
		`"queryCondition":"STARTSWITH(deviceId, 'dev-')","startTime":"0001-01-01T00:00:00","maxExecutionTimeInSeconds":60}`)
	require.Equal(t, "completed", d.ended(id).Status)
	var ids []string
	d.query("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '"+id+"'", "DeviceJob", 9, func(rows []json.RawMessage) {
		for _, text := range rows {
			var row dotnetRow
			require.NoError(t, json.Unmarshal(text, &row), "%s", text)
			require.Equal(t, []string{id, "scheduleDeviceMethod", "completed"}, []string{row.JobID, row.JobType, row.Status})
			require.Equal(t, http.StatusOK, row.Outcome.Response.Status)
			require.False(t, row.End.Before(row.Start.Time))
			require.False(t, row.Updated.Before(row.Created.Time))
			ids = append(ids, row.DeviceID)
		}
	})
	slices.Sort(ids)
	require.Len(t, slices.Compact(ids), simulated)
}
