package pace

import (
	"fmt"
	"strings"
)

// Operation is what the hub meters on its own.
type Operation string

// The operations that jobs use.
const (
	Methods     Operation = "methods"     // in chunks of MethodChunk
	TwinUpdates Operation = "twinUpdates" // desired properties and tags alike
	Queries     Operation = "queries"     // pages
)

// MethodChunk is how many bytes of a direct method's request payload count as one call.
// https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-quotas-throttling
const MethodChunk = 4096

// Rates is how many of each operation a hub allows per second. No entry, or zero, is no limit.
type Rates map[Operation]float64

// Unmetered is the name of the tier that has no limits: a simulator, say.
const Unmetered = "none"

// Tiers lists the names that RatesOf knows.
func Tiers() []string { return []string{"F1", "S1", "S2", "S3", Unmetered} }

// RatesOf gives the documented rates of a tier with units, of which free hubs have one. Rates that the page gives per
// minute are spread evenly. https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-quotas-throttling
func RatesOf(tier string, units int) (Rates, error) {
	n := float64(units)
	switch tier {
	case "F1", "S1":
		return Rates{Methods: 40 * n, TwinUpdates: max(50, 5*n), Queries: 20 * n / 60}, nil
	case "S2":
		return Rates{Methods: 120 * n, TwinUpdates: max(50, 5*n), Queries: 20 * n / 60}, nil
	case "S3":
		return Rates{Methods: 6144 * n, TwinUpdates: 250 * n, Queries: 1000 * n / 60}, nil
	case Unmetered:
		return Rates{}, nil
	}
	return nil, fmt.Errorf("tier %q is none of %s", tier, strings.Join(Tiers(), ", "))
}
