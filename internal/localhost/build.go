package localhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// builder holds what a host is made of: the app as read from disk, and the parts that its instances share.
type builder struct {
	options   Options
	root      string
	env       environment
	config    hostConfig
	functions []*function
	keys      Keys
	cors      cors
	log       *slog.Logger
	output    *handlerOutput
	transport *http.Transport
	invoker   *invoker
	store     *statusStore
	triggers  map[string]queuePair // by function name
}

// queuePair is a trigger's queue and the queue for its poison messages.
type queuePair struct {
	queue, poison messageQueue
}

func newBuilder(options Options) (*builder, error) {
	options.Instances = max(1, options.Instances)
	options.killGrace = cmp.Or(options.killGrace, defaultKillGrace)
	if options.Now == nil {
		options.Now = time.Now
	}
	b := &builder{options: options, env: appEnvironment(options.Env), log: options.Logger, transport: storageTransport()}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if b.root, err = appRoot(options.AppRoot); err != nil {
		return nil, err
	}
	if b.config, err = loadHostConfig(b.root, b.env); err != nil {
		return nil, err
	}
	if b.functions, err = loadFunctions(b.root, b.config, b.env); err != nil {
		return nil, err
	}
	if b.cors, err = corsOf(options, b.root); err != nil {
		return nil, err
	}
	if err := checkExecutable(b.config); err != nil {
		return nil, err
	}
	b.keys = options.Keys.complete(b.functions)
	b.output = &handlerOutput{writer: options.HandlerOutput, log: b.log, stderrIsErrors: b.config.stderrIsErrors}
	b.store = &statusStore{dir: options.State, memory: map[string]timerStatus{}}
	b.invoker = &invoker{
		log: b.log, now: options.Now, followRedirects: !b.config.forwarding, queues: b.config.queues,
		outputs: map[outputQueue]messageQueue{}, stats: &statistics{byFunction: map[string]Stats{}},
	}
	return b, b.openQueues()
}

// openQueues connects to the queues of all bindings.
func (b *builder) openQueues() error {
	b.triggers = map[string]queuePair{}
	var errs []error
	for _, fn := range b.functions {
		if fn.trigger.Type == typeQueueTrigger {
			queue, err := b.open(fn.trigger, fn.trigger.QueueName)
			poison, poisonErr := b.open(fn.trigger, fn.trigger.QueueName+poisonSuffix)
			b.triggers[fn.name] = queuePair{queue, poison}
			errs = append(errs, err, poisonErr)
		}
		for _, output := range fn.outputs {
			if output.Type == typeQueueOutput {
				queue, err := b.open(output, output.QueueName)
				b.invoker.outputs[outputQueue{output.Connection, output.QueueName}] = queue
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (b *builder) open(from binding, name string) (messageQueue, error) {
	connection := b.options.QueueConnectionString
	if connection == "" {
		connection, _ = b.env.lookup(from.Connection)
	}
	if b.options.openQueue != nil {
		return b.options.openQueue(connection, name)
	}
	if connection == "" {
		return nil, fmt.Errorf("queue %s: the setting %s holds no connection string", name, from.Connection)
	}
	return openStorageQueue(b.transport, connection, name)
}

// instance makes the supervisor of one handler.
func (b *builder) instance(id int, stop func(error)) *instance {
	return &instance{
		spec:        processSpec{instance: id, root: b.root, config: b.config, env: b.env, output: b.output},
		log:         b.log.With("instance", id),
		now:         b.options.Now,
		timeout:     b.config.functionTimeout,
		hangTimeout: b.options.HangTimeout,
		killGrace:   b.options.killGrace,
		stopHost:    stop,
		firstReady:  make(chan struct{}),
		changed:     make(chan struct{}),
	}
}

func (b *builder) server(instances []*instance) *server {
	return &server{
		config: b.config, functions: b.functions, keys: b.keys, enforce: b.options.EnforceKeys, cors: b.cors,
		instances: instances, invoker: b.invoker, manual: b.manual,
	}
}

// manual makes the invocation of a function run by hand.
func (b *builder) manual(fn *function, input string) (*invocation, error) {
	if fn.trigger.Type == typeTimerTrigger {
		return b.timer(fn, nil).manualRun()
	}
	return queueInvocation(fn, b.options.Now(), nil, input)
}

func (b *builder) timer(fn *function, in *instance) *timerListener {
	return &timerListener{
		fn: fn, store: b.store, log: b.log.With("function", fn.name), now: b.options.Now,
		invoke: func(ctx context.Context, inv *invocation) error {
			_, err := b.invoker.invoke(ctx, in, inv)
			return err
		},
	}
}

// listening is the part of the triggers that runs on one instance.
type listening struct {
	in         *instance
	withTimers bool
	stop       func(error)
}

// listen runs the triggers of an instance until ctx ends, and waits for what they have in flight.
func (b *builder) listen(ctx, workCtx context.Context, part listening) {
	var listeners sync.WaitGroup
	defer listeners.Wait()
	for _, fn := range b.functions {
		switch {
		case fn.disabled:
		case fn.trigger.Type == typeQueueTrigger:
			listener := b.queueListener(fn, part.in)
			listeners.Go(func() { listener.listen(ctx, workCtx) })
		case fn.trigger.Type == typeTimerTrigger && part.withTimers:
			timer := b.timer(fn, part.in)
			listeners.Go(func() {
				if err := timer.listen(ctx, workCtx); err != nil {
					part.stop(fmt.Errorf("timer %s: %w", fn.name, err))
				}
			})
		}
	}
}

func (b *builder) queueListener(fn *function, in *instance) *queueListener {
	pair := b.triggers[fn.name]
	return &queueListener{
		config: b.config.queues, lease: messageLease, queue: pair.queue, poison: pair.poison,
		log: b.log.With("function", fn.name, "queue", fn.trigger.QueueName),
		process: func(ctx context.Context, m message, text string) error {
			inv, err := queueInvocation(fn, b.options.Now(), &m, text)
			if err != nil {
				return err
			}
			_, err = b.invoker.invoke(ctx, in, inv)
			return err
		},
	}
}
