package localhost

import (
	"errors"
	"fmt"
	"time"
)

// retryPolicy is a retry section of host.json or function.json. The runtime supports it on timers.
// See https://learn.microsoft.com/azure/azure-functions/functions-bindings-error-pages.
type retryPolicy struct {
	max         int // -1 = for ever
	exponential bool
	low, high   time.Duration
}

// retryContext is Metadata.RetryContext of an invocation under a retry policy; its numbers are real numbers.
type retryContext struct {
	RetryCount    int
	MaxRetryCount int
	Exception     *retryException
	Instance      any
	State         struct{}
}

// retryException is the shape of a .NET exception as far as a handler may look at it.
type retryException struct {
	ClassName string
	Message   string
}

// delay is the pause before the retry of the given number, counted from 1.
func (p *retryPolicy) delay(retry int) time.Duration {
	if !p.exponential {
		return p.low
	}
	delay := p.low
	for range retry - 1 {
		if delay >= p.high {
			break
		}
		delay *= 2
	}
	return min(delay, p.high)
}

// context describes the attempt of the given number, counted from 0, after the given error.
func (p *retryPolicy) context(attempt int, previous error) *retryContext {
	c := &retryContext{RetryCount: attempt, MaxRetryCount: p.max}
	if previous != nil {
		c.Exception = &retryException{
			ClassName: "Microsoft.Azure.WebJobs.Host.FunctionInvocationException",
			Message:   previous.Error(),
		}
	}
	return c
}

// retry reads the retry section, nil if there is none.
func (r *settingReader) retry() *retryPolicy {
	strategy, ok := r.flat["retry:strategy"]
	if !ok {
		return nil
	}
	policy := &retryPolicy{max: r.integer("retry:maxretrycount", 0, -1, 1_000_000)}
	required := []string{"retry:maxretrycount"}
	switch strategy {
	case "fixedDelay":
		required = append(required, "retry:delayinterval")
		policy.low = r.span("retry:delayinterval", 0)
	case "exponentialBackoff":
		required = append(required, "retry:minimuminterval", "retry:maximuminterval")
		policy.exponential = true
		policy.low = r.span("retry:minimuminterval", 0)
		policy.high = r.span("retry:maximuminterval", 0)
	default:
		r.fail("retry:strategy", fmt.Errorf("%q is neither fixedDelay nor exponentialBackoff", strategy))
	}
	for _, key := range required {
		if _, ok := r.flat[key]; !ok {
			r.fail(key, errors.New("is required"))
		}
	}
	return policy
}
