package cli

import (
	"flag"
	"fmt"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// failureFlags say what failures of devices mean for a new job; what they do not express goes into a file.
type failureFlags struct {
	abortAt  float64
	abortMin int

	retries      int
	retryDelay   time.Duration
	offlineUntil time.Duration
	startWithin  time.Duration
	callTimeout  time.Duration
	atMostOnce   bool
}

func (f *failureFlags) flags(fs *flag.FlagSet) {
	fs.Float64Var(&f.abortAt, "abort-at", 0, "end the job early when this `percentage` of the devices called so far ended without success")
	fs.IntVar(&f.abortMin, "abort-min", 0, "how `many` devices must have ended before --abort-at counts, 1 unless given")
	fs.IntVar(&f.retries, "retries", 0, "how `many` times a device that failed or timed out is called again")
	spanVar(fs, &f.retryDelay, "retry-delay", "how long before the first retry, 1m unless given; it doubles up to an hour")
	spanVar(fs, &f.offlineUntil, "offline-until", "how long after the job's start devices that are offline are called again, as in 12h")
	spanVar(fs, &f.startWithin, "start-within", "how long after the job's start a device must be called first; else it times out")
	spanVar(fs, &f.callTimeout, "call-timeout", "how long one call may take, up to 10m; else the device times out")
	fs.BoolVar(&f.atMostOnce, "at-most-once", false, "never call a device twice; one whose call was lost in a crash is inDoubt")
}

// failureFlagNames are the flags that do not go with a file.
func failureFlagNames() []string {
	return []string{"abort-at", "abort-min", "retries", "retry-delay", "offline-until", "start-within", "call-timeout", "at-most-once"}
}

// failures puts the flags into the definition.
func (c *jobCreate) failures(def *client.Definition) error {
	for _, step := range []func(*client.Definition) error{c.retry, c.timeout} {
		if err := step(def); err != nil {
			return err
		}
	}
	if c.atMostOnce {
		def.DeliveryGuarantee = "atMostOnce"
	}
	switch {
	case c.given["abort-at"]:
		def.Abort = &client.Abort{Criteria: []client.AbortCriterion{{
			ThresholdPercentage: c.abortAt, MinNumberOfExecutedDevices: c.abortMin,
		}}}
	case c.given["abort-min"]:
		return usagef("give both", "--abort-min goes with --abort-at only")
	}
	return nil
}

func (c *jobCreate) retry(def *client.Definition) error {
	delay, err := isoSeconds("retry-delay", c.retryDelay)
	if err != nil {
		return err
	}
	until, err := isoSeconds("offline-until", c.offlineUntil)
	if err != nil {
		return err
	}
	var criteria []client.RetryCriterion
	if until != "" {
		criteria = append(criteria, client.RetryCriterion{FailureType: "deviceOffline", Until: until, Delay: delay})
	}
	if c.given["retries"] {
		criteria = append(criteria, client.RetryCriterion{NumberOfRetries: c.retries, Delay: delay})
	}
	switch {
	case criteria != nil:
		def.Retry = &client.Retry{Criteria: criteria}
	case delay != "":
		return usagef("give one of them too", "--retry-delay goes with --retries or --offline-until only")
	}
	return nil
}

// isoSeconds gives a flag's duration in ISO 8601, "" for none.
func isoSeconds(flag string, d time.Duration) (string, error) {
	n, err := seconds(flag, d)
	if err != nil || n == 0 {
		return "", err
	}
	return fmt.Sprintf("PT%dS", n), nil
}

func (c *jobCreate) timeout(def *client.Definition) error {
	start, err := isoSeconds("start-within", c.startWithin)
	if err != nil {
		return err
	}
	call, err := isoSeconds("call-timeout", c.callTimeout)
	if err == nil && start+call != "" {
		def.Timeout = &client.Timeout{NotStarted: start, InProgress: call}
	}
	return err
}
