package iothub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/amenzhinsky/iothub/common"
	"github.com/amenzhinsky/iothub/iotservice"
	"github.com/amenzhinsky/iothub/logger"
)

const (
	// answerMargin is what an answer may take beyond the time that the hub itself grants a device: a throttled hub holds
	// requests back for seconds before it serves them.
	answerMargin = 20 * time.Second

	// twinWait and queryWait bound a twin update and a query page, which have no timeout of their own.
	twinWait  = 30 * time.Second
	queryWait = 60 * time.Second

	// maxMethodAnswer and maxPage bound, in bytes, what is read of an answer. A device's answer has at most 128 KiB; a
	// page of whole twins, 100 times 72 KiB of values and their metadata, can have tens of megabytes.
	maxMethodAnswer = 256 << 10
	maxPage         = 64 << 20
)

// Client talks to one IoT hub. It is safe for concurrent use; make one per hub and share it, since it owns the
// connections.
type Client struct {
	host      string
	key       *common.SharedAccessKey
	service   *iotservice.Client
	transport *transport
	margin    time.Duration
}

// New makes a client from opts without any network traffic. Its errors never quote keys.
func New(opts Options) (*Client, error) {
	id, err := opts.identity()
	if err != nil {
		return nil, fmt.Errorf("configuring iot hub client: %w", err)
	}
	rt, err := opts.newTransport(id.tokens)
	if err != nil {
		return nil, fmt.Errorf("configuring iot hub client: %w", err)
	}
	service, err := iotservice.New(id.key,
		iotservice.WithHTTPClient(&http.Client{Transport: rt}),
		// The library's default logger would print Authorization headers if an environment variable told it to.
		iotservice.WithLogger(logger.New(logger.LevelOff, nil)))
	if err != nil {
		return nil, fmt.Errorf("configuring iot hub client: %w", err)
	}
	return &Client{host: id.key.HostName, key: id.key, service: service, transport: rt, margin: answerMargin}, nil
}

// HostName is the hub's host name in lower case, with its port if one was configured.
func (c *Client) HostName() string { return c.host }

// Close closes idle connections. Calls in flight go on.
func (c *Client) Close() { c.transport.closeIdle() }

// MethodResult is what a device answered to a direct method.
type MethodResult struct {
	// Status is the device's own status code; the hub gives it no meaning.
	Status int
	// Payload is the device's JSON answer as it was sent, nil if there was none. Bytes that are not UTF-8 are replaced.
	Payload json.RawMessage
}

// InvokeMethod invokes m on the device, or on the module that "device/module" names, and waits for its answer, for at most the method's response and connect timeouts
// and a margin of 20 s. A status that the device chose, whatever it is, is a result and not an error; every error is an
// *Error.
func (c *Client) InvokeMethod(ctx context.Context, deviceID string, m *Method) (MethodResult, error) {
	x := &exchange{op: OpInvokeMethod, deviceID: deviceID, body: m.body, limit: maxMethodAnswer}
	err := c.do(ctx, x, m.wait+c.margin, func(ctx context.Context) error {
		if device, module, ok := strings.Cut(deviceID, "/"); ok {
			_, err := c.service.CallModuleMethod(ctx, device, module, &iotservice.MethodCall{})
			return err
		}
		_, err := c.service.CallDeviceMethod(ctx, deviceID, &iotservice.MethodCall{})
		return err
	})
	if err != nil {
		return MethodResult{}, err
	}
	result, err := decodeMethodResult(x)
	if err != nil {
		return MethodResult{}, x.fail(Unreadable, err)
	}
	return result, nil
}

// UpdateTwin merges patch into the twin of the device, or of the module that "device/module" names, whatever its version (If-Match: *). The hub answers without waiting for
// the device. Every error is an *Error.
func (c *Client) UpdateTwin(ctx context.Context, deviceID string, patch *TwinPatch) error {
	x := &exchange{op: OpUpdateTwin, deviceID: deviceID, body: patch.body}
	return c.do(ctx, x, twinWait, func(ctx context.Context) error {
		if device, module, ok := strings.Cut(deviceID, "/"); ok {
			_, err := c.service.UpdateModuleTwin(ctx, &iotservice.ModuleTwin{DeviceID: device, ModuleID: module})
			return err
		}
		_, err := c.service.UpdateDeviceTwin(ctx, &iotservice.Twin{DeviceID: deviceID})
		return err
	})
}

// Page is one page of a query's rows.
type Page struct {
	// Rows are the rows as the hub sent them: twins for SELECT *, else whatever the query projects.
	Rows []json.RawMessage
	// Continuation asks for the next page of the same query; it is empty on the last one. Pages may be shorter than
	// asked for, and even empty, without being the last.
	Continuation string
}

// QueryPage reads one page of a device-twin query: the first for an empty continuation token, else the one that the token
// of the page before asks for, with the same query text. maxItems is the wished number of rows, 0 for the hub's default;
// the hub gives at most 100. Every error is an *Error.
func (c *Client) QueryPage(ctx context.Context, query, continuation string, maxItems int) (Page, error) {
	x := &exchange{op: OpQuery, continuation: continuation, maxItems: maxItems, limit: maxPage}
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		return Page{}, x.fail(Rejected, err)
	}
	x.body = body
	err = c.do(ctx, x, queryWait, func(ctx context.Context) error {
		return c.service.QueryDevices(ctx, "", func(map[string]any) error { return nil })
	})
	if err != nil {
		return Page{}, err
	}
	page, err := decodePage(x)
	if err != nil {
		return Page{}, x.fail(Unreadable, err)
	}
	return page, nil
}

// do runs one exchange through the library and turns every outcome but success into an *Error.
func (c *Client) do(ctx context.Context, x *exchange, wait time.Duration, call func(context.Context) error) error {
	if err := x.checkDeviceID(); err != nil {
		return x.fail(Rejected, err)
	}
	if err := ctx.Err(); err != nil {
		return x.fail(Canceled, err)
	}
	callCtx, cancel := context.WithTimeout(withExchange(ctx, x), wait)
	defer cancel()
	err := call(callCtx)
	switch {
	case x.answered && x.status < 300 && x.err == nil:
		return nil
	case x.answered && x.status >= 300:
		return x.refusal()
	case x.err != nil:
		err = x.err
	case err == nil:
		err = errors.New("the request did not reach the transport")
	default: // the library could not compose the request
		return x.fail(Rejected, err)
	}
	if cause := ctx.Err(); cause != nil {
		return x.fail(Canceled, cause)
	}
	// Our own timer's end is given in words of ours, so that nobody takes it for the end of the caller's context.
	switch expired := callCtx.Err() != nil; {
	case x.sent() && expired:
		return x.fail(Lost, fmt.Errorf("no answer within %s", wait))
	case x.sent():
		return x.fail(Lost, err)
	case expired:
		return x.fail(HubFault, fmt.Errorf("no connection within %s", wait))
	}
	return x.fail(HubFault, err)
}
