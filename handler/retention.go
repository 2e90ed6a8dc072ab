package main

import (
	"github.com/fleetjobs/fleetjobs/internal/api"
	"github.com/fleetjobs/fleetjobs/internal/archive"
	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/config"
	"github.com/fleetjobs/fleetjobs/internal/dispatch"
)

// newRetention says how long what has ended is kept, and where it goes then. A hub has a folder of its own.
func newRetention(cfg config.Config, account azurecred.Config, hub string) (dispatch.Retention, error) {
	r := dispatch.Retention{After: cfg.Retention.After()}
	if cfg.Retention.Container == "" {
		return r, nil
	}
	client, err := azurecred.Blobs(account, cfg.Retention.Container)
	if err != nil {
		return r, err
	}
	r.Export = &dispatch.Export{
		Blobs: archive.New(client, hub), Extension: ".ndjson", ContentType: "application/x-ndjson", Encode: api.ExportNDJSON, JobJSON: api.JobJSON,
	}
	if cfg.Retention.Format == config.FormatCSV {
		r.Export.Extension, r.Export.ContentType, r.Export.Encode = ".csv", "text/csv; charset=utf-8", api.ExportCSV
	}
	return r, nil
}
