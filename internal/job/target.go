package job

import "time"

// Plan is how far the selection of a run's devices has come.
type Plan struct {
	RunID string
	// Part is the number of the part that Continuation belongs to, 0 of a target without parts.
	Part int `json:",omitempty"`
	// Continuation is where the next stretch goes on: IoT Hub's token, or the number of the next list chunk.
	Continuation string
	Shards       int // stored so far
	Devices      int
	Done         bool
	// Chosen counts the devices of the parts that belong to chosen batches, as far as they are stored.
	Chosen []int `json:",omitempty"`
	// Pool is how far devices that are to be put in an order by chance were read, nil where none are.
	Pool *Pool `json:",omitempty"`
	// Restarts counts how often the hub lost the continuation token, so that the selection of the part began anew.
	Restarts int
	Claim    Claim
	// SendAt is when a message for the next stretch is under way or due; repair sends another after it.
	SendAt time.Time
	// OpensAt is when the next part may be selected, zero when nothing waits for that.
	OpensAt time.Time `json:",omitzero"`
	// List is nil unless the job lets its runs share a list of devices.
	List *DeviceList `json:",omitempty"`
	// Rounds is nil unless the selection is continuous.
	Rounds *Rounds `json:",omitempty"`

	// Rev is the store's revision of the row that was read.
	Rev string `json:"-"`
}
