package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/fleetjobs/fleetjobs/internal/schedule"
)

// MaxRetention is the longest time for which ended runs are kept by setting.
const MaxRetention = 3660 * 24 * time.Hour

// Formats of exports.
const (
	FormatNDJSON = "ndjson"
	FormatCSV    = "csv"
)

// Retention says how long ended jobs and runs are kept, and where they go before their deletion.
type Retention struct {
	// Period is an ISO 8601 duration: see After. Empty: until somebody deletes the job.
	Period string `env:"FLEETJOBS_RETENTION"`
	// Container is a blob container of the account of Storage. Empty: nothing is exported.
	Container string `env:"FLEETJOBS_EXPORT_CONTAINER"`
	// Format is FormatNDJSON or FormatCSV.
	Format string `env:"FLEETJOBS_EXPORT_FORMAT" envDefault:"ndjson"`
}

// After gives the time from a run's end to its deletion, 0 for never.
func (r Retention) After() time.Duration {
	d, err := schedule.ParseDuration(r.Period)
	if err != nil {
		return 0 // empty: Load refuses others
	}
	return time.Duration(d)
}

// containerRule is Azure's
// (https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata#container-names).
var containerRule = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)

func (r Retention) check(f *faults, s Storage) {
	if r.Period != "" {
		if d, err := schedule.ParseDuration(r.Period); err != nil || d < schedule.Duration(time.Second) {
			f.add("FLEETJOBS_RETENTION", r.Period, fmt.Sprintf("must be an ISO 8601 duration of weeks, days, hours, minutes and seconds from PT1S to %s, such as P90D",
				schedule.Duration(MaxRetention)))
		}
	}
	if r.Format != FormatNDJSON && r.Format != FormatCSV {
		f.add("FLEETJOBS_EXPORT_FORMAT", r.Format, "must be ndjson or csv")
	}
	if r.Container == "" {
		return
	}
	const name = "FLEETJOBS_EXPORT_CONTAINER"
	switch {
	case len(r.Container) > 63 || !containerRule.MatchString(r.Container):
		f.add(name, r.Container, "must be 3 to 63 lower-case letters, digits and single hyphens between them")
	case r.Period == "":
		f.add(name, r.Container, "needs FLEETJOBS_RETENTION: what is kept for ever is not exported")
	case s.ConnectionString == "" && s.AccountName == "" && s.BlobServiceURI == "":
		f.add(name, r.Container, "needs AzureWebJobsStorage__blobServiceUri where AzureWebJobsStorage__accountName is not set")
	}
	if parts, ok := connectionString(s.ConnectionString); ok && parts["sharedaccesssignature"] != "" &&
		parts["accountname"] == "" && strings.TrimSpace(parts["blobendpoint"]) == "" {
		f.add(name, r.Container, "needs a BlobEndpoint in AzureWebJobsStorage")
	}
}
