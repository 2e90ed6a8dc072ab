package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Template is a definition of jobs with parameters.
type Template struct {
	ID          string      `json:"templateId"`
	Version     int         `json:"version"`
	Description string      `json:"description"`
	Parameters  []Parameter `json:"parameters"`
	// Raw is the JSON that the service sent.
	Raw json.RawMessage `json:"-"`
}

// Parameter is what a template wants to be told.
type Parameter struct {
	Name        string          `json:"name"`
	Type        string          `json:"type"` // string, integer, number, boolean or array
	Description string          `json:"description"`
	Default     json.RawMessage `json:"default"`
	Required    bool            `json:"required"`
}

// UnmarshalJSON implements [json.Unmarshaler]; it keeps the text as Raw.
func (t *Template) UnmarshalJSON(text []byte) error {
	type plain Template
	if err := json.Unmarshal(text, (*plain)(t)); err != nil {
		return err
	}
	t.Raw = append(json.RawMessage(nil), text...)
	return nil
}

// TemplatePage is one page of templates.
type TemplatePage struct {
	Templates    []Template `json:"templates"`
	Continuation string     `json:"continuationToken"`
}

func templatePath(id string) string { return "/api/templates/" + url.PathEscape(id) }

// Template reads a template.
func (c *Client) Template(ctx context.Context, id string) (*Template, error) {
	var t Template
	if err := c.call(ctx, get(templatePath(id)), &t); err != nil {
		return nil, err
	}
	return &t, nil
}

// PutTemplate stores the template whose JSON is definition under id. Sending the same twice is harmless.
func (c *Client) PutTemplate(ctx context.Context, id string, definition []byte) (*Template, error) {
	var t Template
	r := request{method: http.MethodPut, path: templatePath(id), body: definition, repeatable: true}
	if err := c.call(ctx, r, &t); err != nil {
		return nil, err
	}
	return &t, nil
}

// DeleteTemplate deletes a template. Jobs that were made of it stay.
func (c *Client) DeleteTemplate(ctx context.Context, id string) error {
	response, err := c.do(ctx, request{method: http.MethodDelete, path: templatePath(id)})
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Templates reads one page of the templates.
func (c *Client) Templates(ctx context.Context, options ListOptions) (*TemplatePage, error) {
	r := get("/api/templates")
	r.query = options.query()
	var page TemplatePage
	if err := c.call(ctx, r, &page); err != nil {
		return nil, err
	}
	return &page, nil
}

// Copy creates a job like another; changes has, as JSON, what is to be other. The service takes requests with the same idempotencyKey
// for one; it is "" where changes have a jobId.
func (c *Client) Copy(ctx context.Context, id, idempotencyKey string, changes []byte) (*Job, error) {
	r := request{method: http.MethodPost, path: jobPath(id, "copy"), body: changes, repeatable: true}
	if idempotencyKey != "" {
		r.header = http.Header{"Idempotency-Key": {idempotencyKey}}
	}
	var job Job
	if err := c.call(ctx, r, &job); err != nil {
		return nil, err
	}
	return &job, nil
}
