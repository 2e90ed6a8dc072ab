package azurite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// host is the only address the services listen on.
const host = "127.0.0.1"

const (
	startTimeout = 60 * time.Second
	// stopTimeout is what a service without state to save gets between SIGINT and SIGKILL. It needs some 50 ms.
	stopTimeout = 3 * time.Second
	// saveTimeout is the same for services that write their state on the way out.
	saveTimeout = 20 * time.Second
)

// Options configures Start. The zero value gives an empty emulator on free ports that forgets everything.
type Options struct {
	// Dir keeps the state of both services between runs; it is made when missing. One Azurite per Dir at a time.
	// Empty: tables live in memory, queues in a temporary folder, and Close forgets both.
	Dir string
	// Accounts are the names of the accounts to serve, with the keys that Account gives. Empty: DefaultAccount only.
	Accounts []string
	// Blobs starts the blob service too.
	Blobs bool
	// TablePort and QueuePort are the ports on 127.0.0.1. 0: a free one. The ports that
	// UseDevelopmentStorage=true stands for are 10002 and 10001.
	TablePort, QueuePort int
	// Log receives the progress of the installation and what the services print. Nil: nowhere.
	Log io.Writer
}

// Azurite is a running pair of table and queue service, and perhaps a blob service beside them. Its methods may be called concurrently.
type Azurite struct {
	tables, queues *service
	blobs          *service // nil unless it was asked for
	accounts       []string
	scratch        *scratchDir
	exited         chan struct{}
	stopTimeout    time.Duration
	closeOnce      sync.Once
	closeErr       error
}

// Start installs Azurite if this machine does not have the pinned release yet, starts both services and returns when
// they answer. ctx bounds the start only: the services run until Close or until this process ends.
func Start(ctx context.Context, opts Options) (*Azurite, error) {
	log := &lockedWriter{w: opts.Log}
	dir, err := Install(ctx, log)
	if err != nil {
		return nil, err
	}
	if len(opts.Accounts) == 0 {
		opts.Accounts = []string{DefaultAccount}
	}
	env, err := accountsEnv(opts.Accounts)
	if err != nil {
		return nil, fmt.Errorf("starting azurite: %w", err)
	}
	a := &Azurite{accounts: slices.Clone(opts.Accounts), stopTimeout: stopTimeout, exited: make(chan struct{})}
	if opts.Dir != "" {
		a.stopTimeout = saveTimeout
	}
	if err := a.start(ctx, opts, launch{install: dir, accounts: env, log: log}); err != nil {
		return nil, errors.Join(fmt.Errorf("starting azurite: %w", err), a.Close())
	}
	go a.watch()
	return a, nil
}

// start makes the folders and starts both services at once.
func (a *Azurite) start(ctx context.Context, opts Options, l launch) error {
	tableArgs := []string{"--inMemoryPersistence"}
	state := opts.Dir
	if state == "" {
		scratch, err := newScratchDir()
		if err != nil {
			return err
		}
		a.scratch, state = scratch, scratch.path
	} else {
		tableArgs = []string{"--location", filepath.Join(state, "table")}
	}
	queueDir := filepath.Join(state, "queue")
	blobDir := filepath.Join(state, "blob")
	for _, dir := range []string{filepath.Join(state, "table"), queueDir, blobDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the state folder: %w", err)
		}
	}
	l.dir = state

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var tableErr, queueErr, blobErr error
	wg.Go(func() { a.tables, tableErr = l.start(ctx, "table", opts.TablePort, tableArgs) })
	wg.Go(func() { a.queues, queueErr = l.start(ctx, "queue", opts.QueuePort, []string{"--location", queueDir}) })
	if opts.Blobs {
		wg.Go(func() { a.blobs, blobErr = l.start(ctx, "blob", 0, []string{"--location", blobDir}) })
	}
	wg.Wait()
	return errors.Join(tableErr, queueErr, blobErr)
}

// TableURL is the address of the table service without an account, such as http://127.0.0.1:10002.
func (a *Azurite) TableURL() string { return a.tables.url() }

// QueueURL is the address of the queue service without an account, such as http://127.0.0.1:10001.
func (a *Azurite) QueueURL() string { return a.queues.url() }

// ConnectionString returns the connection string of one of Options.Accounts; "" is the first of them. An account that
// is not served gets a string too: the services answer it with 404 or 403.
func (a *Azurite) ConnectionString(account string) string {
	if account == "" {
		account = a.accounts[0]
	}
	c := Account(account)
	text := fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;QueueEndpoint=%s/%s;TableEndpoint=%s/%s;",
		c.Name, c.Key, a.QueueURL(), c.Name, a.TableURL(), c.Name)
	if a.blobs != nil {
		text += fmt.Sprintf("BlobEndpoint=%s/%s;", a.blobs.url(), c.Name)
	}
	return text
}

// Exited is closed as soon as one of the services has ended, whatever the reason.
func (a *Azurite) Exited() <-chan struct{} { return a.exited }

// watch closes a.exited when a service ends.
func (a *Azurite) watch() {
	defer close(a.exited)
	var blobs <-chan struct{}
	if a.blobs != nil {
		blobs = a.blobs.exited
	}
	select {
	case <-a.tables.exited:
	case <-a.queues.exited:
	case <-blobs:
	}
}

// Close stops both services, by SIGINT (on which they save what Options.Dir keeps) and after a while by SIGKILL, and
// removes the temporary folder. It returns an error if a service had to be killed. Further calls return the same.
func (a *Azurite) Close() error {
	a.closeOnce.Do(func() {
		var wg sync.WaitGroup
		errs := make([]error, 3)
		for i, s := range []*service{a.tables, a.queues, a.blobs} {
			if s != nil {
				wg.Go(func() { errs[i] = s.stop(a.stopTimeout) })
			}
		}
		wg.Wait()
		if a.scratch != nil {
			errs = append(errs, a.scratch.remove())
		}
		a.closeErr = errors.Join(errs...)
	})
	return a.closeErr
}
