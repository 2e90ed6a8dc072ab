// Package azurite installs and runs Azurite, Microsoft's emulator of Azure Storage, for tests and for the local stack.
//
// It owns the pinned release (npm/package.json and its lock file, embedded), the one-time installation into a cache
// folder, and the life of one pair of processes: the table service and the queue service. The processes die with the
// process that started them, also when that one is killed.
//
// It does not own storage clients (package azurecred), faults that the emulator never shows (package storagefault), or
// the sharing of one emulator between tests (package azuritetest).
//
// Tables are kept in memory unless a folder is given: the table service on disk rewrites its whole database every few
// seconds. Queues are always kept in files, on tmpfs where there is one: the queue service in memory stops answering
// for seconds at every one-minute sweep after some thousand deleted messages.
package azurite
