package cli

import (
	"flag"
	"strconv"
	"strings"

	"github.com/fleetjobs/fleetjobs/internal/client"
)

// rolloutFlags are the flags of a new job's rollout; gates and rates that grow need a file.
type rolloutFlags struct {
	rate, concurrency, devices, priority int
	batches                              []string
	canary, order, orderBy, spreadBy     string
	exclusive                            bool
}

func (c *rolloutFlags) flags(fs *flag.FlagSet) {
	fs.IntVar(&c.rate, "rate", 0, "how many `devices` may begin in a minute; as many as the hub allows unless given")
	fs.IntVar(&c.concurrency, "max-concurrency", 0, "how many `devices` may be in flight at once")
	fs.IntVar(&c.devices, "max-devices", 0, "how many `devices` the job takes, those that are listed first; all unless given")
	fs.StringVar(&c.order, "order", "", "`random` puts the devices in an order by chance, the same each time for the same job")
	fs.StringVar(&c.orderBy, "order-by", "", "the `path` of a tag or property by whose values the devices are ordered, such as tags.site")
	fs.StringVar(&c.spreadBy, "spread-by", "", "the `path` of a tag or property: devices with the same value are called one after the other")
	fs.StringVar(&c.canary, "canary", "", "a first batch of the devices that match this `condition` too, such as \"tags.ring = 'canary'\"")
	fs.BoolVar(&c.exclusive, "exclusive", false, "work on no device at the same time as other exclusive jobs")
	fs.IntVar(&c.priority, "priority", 0, "`1-10`, the job's part of the hub's allowance beside other jobs; 5 unless given")
	fs.Func("batch", "a first batch of so many `devices`, 10, or of a part of them, 5%; may be repeated, the rest follows", func(size string) error {
		c.batches = append(c.batches, size)
		return nil
	})
}

// apply adds the rollout to a job.
func (c *rolloutFlags) apply(def *client.Definition) error {
	def.MaxDevices, def.Priority = c.devices, c.priority
	def.Exclusive = c.exclusive
	if c.rate == 0 && c.concurrency == 0 && len(c.batches) == 0 && c.canary == "" && c.order+c.orderBy+c.spreadBy == "" {
		return nil
	}
	def.Rollout = &client.Rollout{MaximumPerMinute: c.rate, MaxConcurrency: c.concurrency, Order: c.order, OrderBy: c.orderBy, SpreadBy: c.spreadBy}
	if c.canary != "" {
		def.Rollout.Batches = []client.Batch{{QueryCondition: c.canary}}
	}
	for _, text := range c.batches {
		number, isPart := strings.CutSuffix(text, "%")
		var b client.Batch
		var err error
		if isPart {
			b.Percentage, err = strconv.ParseFloat(number, 64)
		} else {
			b.Number, err = strconv.Atoi(number)
		}
		if err != nil {
			return usagef("give a number of devices, such as 10, or a percentage, such as 5%", "--batch %q is no size", text)
		}
		def.Rollout.Batches = append(def.Rollout.Batches, b)
	}
	if len(def.Rollout.Batches) > 0 {
		def.Rollout.Batches = append(def.Rollout.Batches, client.Batch{})
	}
	return nil
}
