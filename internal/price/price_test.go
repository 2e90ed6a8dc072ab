package price_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/price"
)

func TestEveryMeterHasAPriceWithItsOrigin(t *testing.T) {
	t.Parallel()
	list := price.List()
	require.Len(t, list, int(price.LogAlertRule15Min)+1)
	for meter, p := range list {
		require.NotEmpty(t, p.Name, meter)
		require.NotEmpty(t, p.Unit, meter)
		require.Positive(t, p.USD, meter)
		require.Positive(t, p.Per, meter)
		require.NotEmpty(t, p.Region, meter)
		require.NotEmpty(t, p.Read, meter)
		require.Regexp(t, `^https://`, p.Found, meter)
	}
}

func TestTimeIsBilledByTheSecondAndThenByTheTenth(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		memoryMB int
		worked   time.Duration
		want     float64
	}{
		{2048, 0, 2},
		{2048, 30 * time.Millisecond, 2},
		{2048, time.Second, 2},
		{2048, time.Second + time.Nanosecond, 2.2},
		{512, 1150 * time.Millisecond, 0.6},
		{4096, time.Minute, 240},
	} {
		require.InDelta(t, test.want, price.GBSeconds(test.memoryMB, test.worked), 1e-9, "%d MB, %s", test.memoryMB, test.worked)
	}
}

func TestABillTakesTheFreeUnitsOffOnce(t *testing.T) {
	t.Parallel()
	used := price.Usage{price.OnDemandTime: 300_000, price.OnDemandExecutions: 200_000, price.QueueOperations: 2_000_000}
	require.Empty(t, cmp.Diff([]price.Line{
		{Meter: price.OnDemandTime, Quantity: 300_000, Free: 100_000, USD: 5.2},
		{Meter: price.OnDemandExecutions, Quantity: 200_000, Free: 200_000},
		{Meter: price.QueueOperations, Quantity: 2_000_000, USD: 0.8},
	}, used.Bill(true), cmpopts.EquateApprox(0, 1e-9)))
	require.InDelta(t, 6, used.USD(true), 1e-9)
	require.InDelta(t, 7.8+0.08+0.8, used.USD(false), 1e-9)
	require.Zero(t, price.Usage{}.USD(true))
}

func TestAnIdleAppPaysForTicksAndForWhatIsKept(t *testing.T) {
	t.Parallel()
	idle := price.Idle{MemoryMB: 2048, Tick: 10 * time.Second, TickWork: 50 * time.Millisecond, TickTables: 3, TickLogBytes: 4000, AlertRules: 4}
	require.Equal(t, price.Usage{
		price.OnDemandTime:       518_400,
		price.OnDemandExecutions: 259_200,
		price.TableTransactions:  777_600,
		price.LogIngestion:       1.0368,
		price.LogAlertRule15Min:  4,
	}, idle.Month())

	idle.AlwaysReady, idle.Poll = 1, time.Second
	require.InDelta(t, 5_184_000, idle.Month()[price.AlwaysReadyBaseline], 1e-6)
	require.InDelta(t, 2_592_000, idle.Month()[price.QueueOperations], 1e-6)
}
