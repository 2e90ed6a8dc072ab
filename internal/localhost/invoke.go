package localhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// invoker runs functions: it sends envelopes, binds outputs and keeps count.
type invoker struct {
	log             *slog.Logger
	now             func() time.Time
	followRedirects bool
	queues          queueConfig
	outputs         map[outputQueue]messageQueue
	stats           *statistics
}

// outputQueue identifies a queue that a function writes to.
type outputQueue struct {
	connection, name string
}

// invoke carries an envelope to the handler of an instance. Queue outputs are sent after success only, all at once;
// if one cannot be sent the invocation fails.
func (iv *invoker) invoke(ctx context.Context, in *instance, inv *invocation) (*answer, error) {
	var result *answer
	err := iv.counted(inv.fn, inv.id, func() error {
		err := in.run(ctx, func(ctx context.Context, w *worker) error {
			var err error
			result, err = inv.post(ctx, w, iv.followRedirects)
			return err
		})
		if err != nil {
			return err
		}
		for _, line := range result.Logs {
			iv.log.Info(line, "function", inv.fn.name, "invocation", inv.id)
		}
		return iv.send(ctx, inv.fn, result)
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// counted runs one invocation and records how it went.
func (iv *invoker) counted(fn *function, id string, run func() error) error {
	iv.stats.begin(fn.name)
	start := time.Now()
	err := run()
	iv.stats.end(fn.name, err)
	log := iv.log.With("function", fn.name, "invocation", id, "duration", time.Since(start))
	if err != nil {
		log.Error("function failed", "error", err)
		return err
	}
	log.Debug("function succeeded")
	return nil
}

func (iv *invoker) send(ctx context.Context, fn *function, result *answer) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, output := range fn.outputs {
		if output.Type != typeQueueOutput {
			continue
		}
		texts, err := queueMessages(result.output(output, fn.outputs))
		if err != nil {
			return fmt.Errorf("output %s: %w", output.Name, err)
		}
		queue := iv.outputs[outputQueue{output.Connection, output.QueueName}]
		for _, text := range texts {
			group.Go(func() error {
				if err := queue.Send(ctx, iv.queues.encode(text)); err != nil {
					return fmt.Errorf("output %s: %w", output.Name, err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// Stats counts the invocations of one function since the host started, on all instances.
type Stats struct {
	Started   int // invocations begun, retries included
	InFlight  int // begun and not ended
	Succeeded int
	Failed    int // including those that timed out
	TimedOut  int // killed with their handler by the function timeout, or hung
}

// statistics keeps the Stats of all functions.
type statistics struct {
	mu         sync.Mutex
	byFunction map[string]Stats
}

func (s *statistics) change(name string, update func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.byFunction[name]
	update(&stats)
	s.byFunction[name] = stats
}

func (s *statistics) begin(name string) {
	s.change(name, func(c *Stats) { c.Started++; c.InFlight++ })
}

func (s *statistics) end(name string, err error) {
	s.change(name, func(c *Stats) {
		c.InFlight--
		if err == nil {
			c.Succeeded++
			return
		}
		c.Failed++
		if errors.Is(err, errTimeout) {
			c.TimedOut++
		}
	})
}

func (s *statistics) snapshot() map[string]Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.byFunction)
}

// inFlight is the number of invocations that have begun and not ended.
func (s *statistics) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, stats := range s.byFunction {
		total += stats.InFlight
	}
	return total
}
