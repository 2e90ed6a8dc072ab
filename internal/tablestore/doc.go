// Package tablestore keeps jobs, runs and shards in Azure Table Storage.
//
// It owns the layout of the two tables (docs/architecture.md draws it), the packing of a shard into one row, and the
// guarantees of its writes: each is idempotent or compared with the revision that was read, and carries a token by which a
// write whose reply was lost is recognised as our own. It does not own rules of jobs and runs (package job) nor who may
// write when (package dispatch).
package tablestore
