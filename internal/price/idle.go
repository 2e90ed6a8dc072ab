package price

import "time"

// Month is the month of all figures here.
const Month = 30 * 24 * time.Hour

// Idle describes a deployment that has no job to run.
type Idle struct {
	MemoryMB     int           // of an instance
	Tick         time.Duration // between two runs of TimerDispatch
	TickWork     time.Duration // what one of them takes
	TickTables   int           // requests to Table Storage in one of them
	TickLogBytes int           // what host and handler log for one of them
	AlwaysReady  int           // instances of RunShard
	Poll         time.Duration // between two looks of such an instance into its queue
	AlertRules   int           // evaluated every 15 minutes
}

// Month returns what it uses in a month. What the platform's scale controller and the host's own leases ask of storage is
// not in it: nobody documents how often they do.
func (i Idle) Month() Usage {
	ticks := float64(Month / i.Tick)
	u := Usage{
		OnDemandTime:       ticks * GBSeconds(i.MemoryMB, i.TickWork),
		OnDemandExecutions: ticks,
		TableTransactions:  ticks * float64(i.TickTables),
		LogIngestion:       ticks * float64(i.TickLogBytes) / 1e9,
		LogAlertRule15Min:  float64(i.AlertRules),
	}
	if i.AlwaysReady > 0 {
		kept := float64(i.AlwaysReady) * Month.Seconds()
		u[AlwaysReadyBaseline] = kept * float64(i.MemoryMB) / mbPerGB
		u[QueueOperations] = kept / i.Poll.Seconds()
	}
	return u
}
