package job_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// notifying is the body of a job with a member notifications.
func notifying(notifications string) []byte {
	return fmt.Appendf(nil, `{"type":"scheduleDeviceMethod","queryCondition":"*","cloudToDeviceMethod":{"methodName":"m"},"notifications":%s}`, notifications)
}

const logicApp = "https://prod-01.westeurope.logic.azure.com:443/workflows/1/runs/2/actions/w/run?sp=%2Fruns&sig=s3cr3t"

func TestNotificationsAreRead(t *testing.T) {
	t.Parallel()
	def, err := job.Decode(notifying(fmt.Sprintf(`{"callbackUrl":%q}`, logicApp)), now)
	require.NoError(t, err)
	require.Equal(t, &job.Notifications{CallbackURL: logicApp}, def.Notifications)
	require.False(t, def.Notifications.Wants(job.EventStarted))
	for _, end := range []job.EventKind{job.EventCompleted, job.EventFailed, job.EventCancelled} {
		require.True(t, def.Notifications.Wants(end))
	}

	def, err = job.Decode(notifying(`{"callbackUrl":"http://a","events":["started","failed"]}`), now)
	require.NoError(t, err)
	require.True(t, def.Notifications.Wants(job.EventStarted))
	require.False(t, def.Notifications.Wants(job.EventCompleted))

	def, err = job.Decode(notifying(`null`), now)
	require.NoError(t, err)
	require.Nil(t, def.Notifications)
}

func TestWrongNotificationsAreFaultsThatHideTheAddress(t *testing.T) {
	t.Parallel()
	for body, field := range map[string]string{
		`{}`: "notifications.callbackUrl", `{"callbackUrl":""}`: "notifications.callbackUrl", `{"callbackUrl":7}`: "notifications.callbackUrl",
		`{"callbackUrl":"/hook?sig=s3cr3t"}`:                              "notifications.callbackUrl",
		`{"callbackUrl":"ftp://a/?sig=s3cr3t"}`:                           "notifications.callbackUrl",
		`{"callbackUrl":"https:///a?sig=s3cr3t"}`:                         "notifications.callbackUrl",
		`{"callbackUrl":"https://u:s3cr3t@a/"}`:                           "notifications.callbackUrl",
		`{"callbackUrl":"https://a/?sig=s3cr3t#b"}`:                       "notifications.callbackUrl",
		`{"callbackUrl":"https://a/ ?sig=s3cr3t"}`:                        "notifications.callbackUrl",
		`{"callbackUrl":"https://ä/?sig=s3cr3t"}`:                         "notifications.callbackUrl",
		`{"callbackUrl":"https://a:b/?sig=s3cr3t"}`:                       "notifications.callbackUrl",
		`{"callbackUrl":"https://a/?` + strings.Repeat("x", 2048) + `"}`:  "notifications.callbackUrl",
		`{"callbackUrl":"https://a","events":[]}`:                         "notifications.events",
		`{"callbackUrl":"https://a","events":["done"]}`:                   "notifications.events",
		`{"callbackUrl":"https://a","events":["failed","failed"]}`:        "notifications.events",
		`{"callbackUrl":"https://a","events":"failed"}`:                   "notifications.events",
		`{"callbackUrl":"https://a","callbackURL":"https://a?s3cr3t"}`:    "notifications.callbackURL",
		`{"callbackUrl":"https://a?s3cr3t","callbackUrl":"https://a?s3"}`: "notifications.callbackUrl",
		`{"callbackUrl":"https://a","url":"https:\/\/a\u003fs3cr3t"}`:     "notifications.url",
		`"https://a/?sig=s3cr3t"`:                                         "notifications",
		`["https://a/?sig=s3cr3t"]`:                                       "notifications",
	} {
		_, err := job.Decode(notifying(body), now)
		faults := job.FaultsOf(err)
		require.Len(t, faults, 1, "%s: %v", body, err)
		require.Equal(t, field, faults[0].Field, body)
		require.NotContains(t, err.Error(), "s3", body)
	}
	_, err := job.Decode([]byte(`{"callbackUrl":"https://a/b?sig=s3cr3t"}`), now)
	require.ErrorContains(t, err, "https://a/b?…")
	require.NotContains(t, err.Error(), "s3cr3t")
}

// The address is part of what tells one definition from another, although it is never shown.
func TestTheAddressIsPartOfTheDefinition(t *testing.T) {
	t.Parallel()
	hash := func(address string) string {
		h, err := job.Definition{Notifications: &job.Notifications{CallbackURL: address}}.Hash()
		require.NoError(t, err)
		return h
	}
	require.NotEqual(t, hash("https://a/?sig=1"), hash("https://a/?sig=2"))
	n := &job.Notifications{CallbackURL: logicApp, Events: []job.EventKind{job.EventFailed}}
	require.Equal(t, &job.Notifications{
		CallbackURL: "https://prod-01.westeurope.logic.azure.com:443/workflows/1/runs/2/actions/w/run?redacted", Events: n.Events,
	}, n.Redacted())
	require.Equal(t, n.Redacted(), n.Redacted().Redacted())
	require.Nil(t, (*job.Notifications)(nil).Redacted())
}

func TestWhatHappenedIsOwedOnce(t *testing.T) {
	t.Parallel()
	rec := &job.Record{Definition: job.Definition{Notifications: &job.Notifications{CallbackURL: "https://a"}}, Status: job.StatusScheduled}
	owe := func(at time.Time) []string {
		rec.Owe(true, at)
		var all []string
		for _, d := range rec.Deliveries {
			all = append(all, fmt.Sprintf("%s %s", d.Event, d.Channel))
		}
		return all
	}
	require.Empty(t, owe(now))
	require.True(t, rec.NextDelivery().IsZero())

	rec.Status, rec.StartedAt = job.StatusRunning, now
	require.Equal(t, []string{"started eventGrid"}, owe(now))
	require.Equal(t, []string{"started eventGrid"}, owe(now.Add(time.Second)))
	require.Equal(t, now, rec.NextDelivery())

	rec.Status = job.StatusCancelled
	all := []string{"started eventGrid", "cancelled callback", "cancelled eventGrid"}
	require.Equal(t, all, owe(now.Add(time.Minute)))
	require.Equal(t, all, owe(now.Add(time.Hour)))
	rec.Delivery(job.EventStarted, job.ChannelEventGrid).State = job.DeliveryDelivered
	require.Equal(t, now.Add(time.Minute), rec.NextDelivery())
	rec.Delivery(job.EventCancelled, job.ChannelCallback).State = job.DeliveryFailed
	rec.Delivery(job.EventCancelled, job.ChannelEventGrid).State = job.DeliveryDelivered
	require.True(t, rec.NextDelivery().IsZero())
	require.Nil(t, rec.Delivery(job.EventFailed, job.ChannelCallback))

	stored, err := json.Marshal(rec)
	require.NoError(t, err)
	var back job.Record
	require.NoError(t, json.Unmarshal(stored, &back))
	require.Equal(t, rec.Deliveries, back.Deliveries)
}
