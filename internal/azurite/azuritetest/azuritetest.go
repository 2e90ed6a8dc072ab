// Package azuritetest gives tests storage accounts on one shared Azurite.
//
// A test binary starts at most one Azurite, at the first call of Start. Every call of Start hands out an account that
// no other call gets, so tests run in parallel and name their tables and queues as they like. TestMain must call Main,
// which stops Azurite at the end:
//
//	func TestMain(m *testing.M) { azuritetest.Main(m) }
package azuritetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/fleetjobs/fleetjobs/internal/azurite"
)

// accounts is how many calls of Start one test binary may make. All accounts have to be known when Azurite starts.
const accounts = 1500

// Start returns the connection string of a fresh, empty storage account. Azurite is started, and on a new machine
// installed, by the first call. A test binary without Node.js fails here.
func Start(t testing.TB) string {
	t.Helper()
	conn, err := shared.next()
	if err != nil {
		t.Fatalf("azuritetest: %v", err)
	}
	return conn
}

// StartWithBlobs is Start for an account that has a blob service too. All tests of a binary that call it share another Azurite.
func StartWithBlobs(t testing.TB) string {
	t.Helper()
	conn, err := withBlobs.next()
	if err != nil {
		t.Fatalf("azuritetest: %v", err)
	}
	return conn
}

// Main runs the tests, stops Azurite, fails the binary if a goroutine is left over, and exits. Options are goleak's.
func Main(m *testing.M, opts ...goleak.Option) {
	goleak.VerifyTestMain(stopAfter{m}, opts...)
}

// stopAfter is a testing.M that stops the shared Azurite after the last test: its end closes the connections that
// clients keep, and with them their goroutines.
type stopAfter struct{ m *testing.M }

// Run implements goleak.TestingM.
func (s stopAfter) Run() int {
	code := s.m.Run()
	if err := errors.Join(shared.close(), withBlobs.close()); err != nil {
		fmt.Fprintln(os.Stderr, "azuritetest:", err)
		code = max(code, 1)
	}
	return code
}

// shared and withBlobs are the test binary's Azurites. It is the package's purpose that the state is the whole binary's.
var shared, withBlobs = pool{}, pool{blobs: true}

type pool struct {
	blobs bool

	mu      sync.Mutex
	azurite *azurite.Azurite
	err     error // of the start: not tried again
	used    int
}

func accountName(n int) string { return fmt.Sprintf("test%05d", n) }

func (p *pool) next() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.azurite == nil && p.err == nil {
		p.azurite, p.err = start(context.Background(), p.blobs)
	}
	if p.err != nil {
		return "", p.err
	}
	if p.used == accounts {
		return "", errors.New("all accounts of this test binary are in use: run with a lower -count")
	}
	p.used++
	return p.azurite.ConnectionString(accountName(p.used - 1)), nil
}

// start starts Azurite with all accounts. Only the installation is worth a line among the tests' output.
func start(ctx context.Context, blobs bool) (*azurite.Azurite, error) {
	if _, err := azurite.Install(ctx, os.Stderr); err != nil {
		return nil, err
	}
	names := make([]string, accounts)
	for i := range names {
		names[i] = accountName(i)
	}
	return azurite.Start(ctx, azurite.Options{Accounts: names, Blobs: blobs})
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.azurite == nil {
		return nil
	}
	return p.azurite.Close()
}
