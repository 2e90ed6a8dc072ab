package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// hubJobs are the jobs of an IoT hub (https://learn.microsoft.com/rest/api/iothub/service/jobs).
type hubJobs struct{ http *http.Client }

// hubJob is a job as the hub lists it.
type hubJob struct {
	ID  string
	raw []byte
}

const maxHubPage = 32 << 20 // bytes: 100 jobs with the largest payloads

// waiting lists the jobs that have not begun. A new one is queued for some seconds, also when it is for later.
func (h *hubJobs) waiting(ctx context.Context) ([]hubJob, error) {
	var all []hubJob
	seen := map[string]bool{}
	for _, status := range []string{"queued", "scheduled"} {
		token := ""
		for {
			page, next, err := h.page(ctx, status, token)
			if err != nil {
				return nil, fmt.Errorf("listing the hub's jobs: %w", err)
			}
			for _, job := range page {
				if !seen[job.ID] {
					seen[job.ID] = true
					all = append(all, job)
				}
			}
			if next == "" {
				break
			}
			token = next
		}
	}
	return all, nil
}

func (h *hubJobs) page(ctx context.Context, status, token string) (page []hubJob, next string, err error) {
	header := http.Header{}
	if token != "" {
		header.Set("x-ms-continuation", token)
	}
	body, answer, err := h.call(ctx, http.MethodGet, "/jobs/v2/query?jobStatus="+status+"&", header)
	if err != nil {
		return nil, "", err
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, "", fmt.Errorf("reading the hub's answer: %w", err)
	}
	for _, raw := range rows {
		var head struct{ JobID, Type string }
		if err := json.Unmarshal(raw, &head); err != nil {
			return nil, "", fmt.Errorf("reading a job of the hub: %w", err)
		}
		if strings.HasPrefix(head.Type, "schedule") { // the list may hold imports and exports too
			page = append(page, hubJob{ID: head.JobID, raw: raw})
		}
	}
	return page, answer.Get("x-ms-continuation"), nil
}

// cancel cancels a job. One that was cancelled already is no error: it is not listed.
func (h *hubJobs) cancel(ctx context.Context, id string) error {
	_, _, err := h.call(ctx, http.MethodPost, "/jobs/v2/"+url.PathEscape(id)+"/cancel?", nil)
	return err
}

// call sends a request whose path ends where the query goes on. The transport knows host and credential.
func (h *hubJobs) call(ctx context.Context, method, path string, header http.Header) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://hub"+path+"api-version=2021-04-12", http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := h.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read; nothing depends on how it closes
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHubPage))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("reading the hub's answer: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("the hub answered %d %s", resp.StatusCode, resp.Header.Get("iothub-errorcode"))
	}
	return body, resp.Header, nil
}
