package customhandler_test

// What a host sends, as its source and its unit tests show it: the text of a
// queue message is a JSON string inside a JSON string, numbers in Metadata are
// strings, and the top-level fields of the message stand beside the system's.

const queueEnvelope = `{
  "Data": { "message": "\"{\\\"jobId\\\":\\\"42\\\"}\"" },
  "Metadata": {
    "DequeueCount": "1",
    "ExpirationTime": "2026-11-30T01:02:03+00:00",
    "Id": "\"6f9c2a3e-0000-0000-0000-000000000000\"",
    "InsertionTime": "2026-11-23T01:02:03+00:00",
    "NextVisibleTime": "2026-11-23T01:12:03+00:00",
    "PopReceipt": "\"AgAAAAMAAAAAAAAA=\"",
    "sys": { "MethodName": "RunShard", "UtcNow": "2026-11-23T01:02:03.1234567Z", "RandGuid": "5f0c0a0e-0000-0000-0000-000000000000" },
    "jobId": "\"42\""
  }
}`

// timerEnvelope is a first run with the schedule monitor on.
const timerEnvelope = `{
  "Data": {
    "timer": {
      "Schedule": { "AdjustForDST": true },
      "ScheduleStatus": {
        "Last": "0001-01-01T00:00:00+00:00",
        "Next": "2026-11-23T01:05:00+00:00",
        "LastUpdated": "2026-11-23T01:00:00.0012345+00:00"
      },
      "IsPastDue": true
    }
  },
  "Metadata": {
    "sys": { "MethodName": "TimerDispatch", "UtcNow": "2026-11-23T01:05:00.0051234Z", "RandGuid": "5f0c0a0e-0000-0000-0000-000000000000" }
  }
}`

// subMinuteTimerEnvelope has no status: the host keeps none for such schedules.
const subMinuteTimerEnvelope = `{
  "Data": { "timer": { "Schedule": { "AdjustForDST": true }, "ScheduleStatus": null, "IsPastDue": false } },
  "Metadata": { "sys": { "MethodName": "TimerDispatch", "UtcNow": "2026-11-23T01:05:10.0051234Z", "RandGuid": "5f0c0a0e-0000-0000-0000-000000000000" } }
}`
