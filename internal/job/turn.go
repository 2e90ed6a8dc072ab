package job

import "time"

// Waiting is why a run that is due has not begun: as many runs go on as the deployment allows at once.
type Waiting struct {
	Since time.Time // when it was due
	// Most is how many runs may go on at once.
	Most int
}
