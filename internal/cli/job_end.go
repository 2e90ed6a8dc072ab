package cli

import (
	"context"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

func jobCancelEntry() entry {
	return entry{
		name: "job cancel", args: "<job id>", summary: "stop a job, also while it runs",
		text: `
No new call begins within two seconds; calls that are on their way are waited for. Devices that were not reached become
canceled. A job that has ended cannot be cancelled.`,
		example: `
fleetjobs job cancel reboot-42
fleetjobs job cancel reboot-42 && fleetjobs job watch reboot-42`,
		make: func(m *Main) command {
			return newOneJob(m, "job cancel", "print the job as JSON", func(ctx context.Context, api *client.Client, id string, asJSON bool) error {
				job, err := api.Cancel(ctx, id)
				return m.stands(job, asJSON, err)
			})
		},
	}
}

func jobDeleteEntry() entry {
	return entry{
		name: "job delete", args: "<job id>", summary: "delete a job that has ended, with its results",
		text:    "A job that has not ended is not deleted: cancel it first. The id is free again afterwards.",
		example: "fleetjobs job delete reboot-42",
		make: func(m *Main) command {
			return newOneJob(m, "job delete", "print what was deleted as JSON", func(ctx context.Context, api *client.Client, id string, asJSON bool) error {
				if err := api.Delete(ctx, id); err != nil {
					return err
				}
				if asJSON {
					m.printf("{\"deleted\": %q}\n", id)
					return nil
				}
				m.printf("job %s: deleted\n", plain(id))
				return nil
			})
		},
	}
}
