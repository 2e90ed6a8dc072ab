package tablestore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// Options of a Store; the zero value is what production uses.
type Options struct {
	// Prefix begins the names of the tables, "fleetjobs" unless given. Tests use one each.
	Prefix string
}

// Store keeps everything that must last. It is safe for concurrent use.
type Store struct {
	service *aztables.ServiceClient
	names   [2]string
	jobs    table
	runs    table
	hub     string // partition of the jobs table
	packer  packer

	mu      sync.Mutex
	ensured bool
}

// New gives a store for the jobs of one hub, named by its host name in whatever case.
func New(service *aztables.ServiceClient, hub string, opts *Options) *Store {
	prefix := "fleetjobs"
	if opts != nil && opts.Prefix != "" {
		prefix = opts.Prefix
	}
	names := [2]string{prefix + "jobs", prefix + "runs"}
	return &Store{
		service: service,
		names:   names,
		jobs:    table{service.NewClient(names[0])},
		runs:    table{service.NewClient(names[1])},
		hub:     strings.ToLower(hub),
	}
}

// Hub gives the same store for what is kept by another hub: its ledgers.
func (s *Store) Hub(hostName string) *Store {
	return &Store{service: s.service, names: s.names, jobs: s.jobs, runs: s.runs, hub: strings.ToLower(hostName)}
}

// Ensure creates the tables unless they exist. After the first success it costs nothing.
func (s *Store) Ensure(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ensured {
		return nil
	}
	for _, name := range s.names {
		_, err := s.service.CreateTable(ctx, name, nil)
		var re *azcore.ResponseError
		if err != nil && !(errors.As(err, &re) && re.StatusCode == http.StatusConflict && re.ErrorCode == string(aztables.TableAlreadyExists)) {
			return fmt.Errorf("creating table %s: %w", name, err)
		}
	}
	s.ensured = true
	return nil
}
