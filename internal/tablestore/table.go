package tablestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// table is one table with the write rules of this package.
type table struct {
	client *aztables.Client
}

// newToken marks one logical write.
func newToken() string { return strconv.FormatUint(rand.Uint64(), 36) }

const tokenName = "Token"

func (t table) get(ctx context.Context, partition, row string) (entity, string, error) {
	if !validKey(partition) || !validKey(row) {
		return nil, "", fmt.Errorf("reading row %q: %w", row, job.ErrNotFound)
	}
	resp, err := t.client.GetEntity(ctx, partition, row, &aztables.GetEntityOptions{Format: to.Ptr(aztables.MetadataFormatNone)})
	if err != nil {
		return nil, "", failure("reading", row, err)
	}
	e, err := decode(resp.Value)
	return e, string(resp.ETag), err
}

func decode(raw []byte) (entity, error) {
	var e entity
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("decoding a row: %w", err)
	}
	return e, nil
}

// replace writes e if the row still has revision rev; merge changes only the properties of e. They return the new revision,
// or job.ErrConflict.
func (t table) replace(ctx context.Context, e entity, rev string) (string, error) {
	return t.update(ctx, e, rev, aztables.UpdateModeReplace)
}

func (t table) merge(ctx context.Context, e entity, rev string) (string, error) {
	return t.update(ctx, e, rev, aztables.UpdateModeMerge)
}

func (t table) update(ctx context.Context, e entity, rev string, mode aztables.UpdateMode) (string, error) {
	token := newToken()
	e[tokenName] = token
	raw, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encoding row %s: %w", e.row(), err)
	}
	resp, err := t.client.UpdateEntity(ctx, raw, &aztables.UpdateEntityOptions{IfMatch: new(azcore.ETag(rev)), UpdateMode: mode})
	if err == nil {
		return string(resp.ETag), nil
	}
	return t.ours(ctx, e, token, failure("writing", e.row(), err))
}

// mergeExisting changes properties of a row that must exist, whatever its revision.
func (t table) mergeExisting(ctx context.Context, e entity) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding row %s: %w", e.row(), err)
	}
	_, err = t.client.UpdateEntity(ctx, raw, &aztables.UpdateEntityOptions{
		IfMatch: to.Ptr(azcore.ETagAny), UpdateMode: aztables.UpdateModeMerge,
	})
	if err != nil {
		return failure("changing", e.row(), err)
	}
	return nil
}

// upsert writes e whatever was there.
func (t table) upsert(ctx context.Context, e entity) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding row %s: %w", e.row(), err)
	}
	_, err = t.client.UpsertEntity(ctx, raw, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeReplace})
	if err != nil {
		return failure("writing", e.row(), err)
	}
	return nil
}

// ours turns a refused write into success when the row carries the write's token: the SDK had retried a request whose
// reply was lost. Otherwise the refusal stands.
func (t table) ours(ctx context.Context, e entity, token string, refusal error) (string, error) {
	if !errors.Is(refusal, job.ErrConflict) && !errors.Is(refusal, job.ErrExists) && !errors.Is(refusal, job.ErrNotFound) {
		return "", refusal
	}
	current, rev, err := t.get(ctx, e.text("PartitionKey"), e.row())
	if err != nil || current.text(tokenName) != token {
		return "", refusal
	}
	return rev, nil
}

// failure names what was done and folds the service's codes to the errors of package job.
func failure(doing, row string, err error) error {
	var re *azcore.ResponseError
	if !errors.As(err, &re) {
		return fmt.Errorf("%s row %s: %w", doing, row, err)
	}
	status, code := refusal(re)
	switch {
	case code == string(aztables.TableNotFound) || code == string(aztables.TableBeingDeleted):
		// Nobody was faster: the table itself is not there.
	case status == http.StatusNotFound:
		return fmt.Errorf("%s row %s: %w", doing, row, job.ErrNotFound)
	case status == http.StatusConflict:
		return fmt.Errorf("%s row %s: %w", doing, row, job.ErrExists)
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("%s row %s: %w", doing, row, job.ErrConflict)
	}
	return fmt.Errorf("%s row %s: status %d %s: %w", doing, row, status, code, err)
}

// validKey reports whether a row can have key. The service answers a read of others with 400, Azurite with 500
// (https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#characters-disallowed-in-key-fields).
func validKey(key string) bool {
	return len(key) <= 512 && utf8.ValidString(key) && !strings.ContainsFunc(key, func(c rune) bool {
		return unicode.IsControl(c) || strings.ContainsRune(`/\#?'`, c)
	})
}

// quoted makes an OData string.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// query is a read of consecutive rows of a partition.
type query struct {
	partition string
	from, to  string // row keys, from <= key < to
	filter    string // further OData condition
	columns   string // comma separated, empty for all
	max       int    // rows, 0 for all
}

func (q query) odata() string {
	f := fmt.Sprintf("PartitionKey eq %s and RowKey ge %s and RowKey lt %s", quoted(q.partition), quoted(q.from), quoted(q.to))
	if q.filter != "" {
		f += " and (" + q.filter + ")"
	}
	return f
}

// maxPage is the service's limit of rows in one answer.
const maxPage = 1000

// each calls yield for the rows of q in key order until yield says false or q.max rows came. It accepts empty and short pages.
func (t table) each(ctx context.Context, q query, yield func(entity) (bool, error)) error {
	opts := &aztables.ListEntitiesOptions{Filter: new(q.odata()), Format: to.Ptr(aztables.MetadataFormatNone)}
	if q.columns != "" {
		opts.Select = new(q.columns)
	}
	if q.max > 0 && q.max < maxPage {
		opts.Top = new(int32(q.max))
	}
	rows := 0
	for pager := t.client.NewListEntitiesPager(opts); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return failure("listing from", q.from, err)
		}
		for _, raw := range page.Entities {
			e, err := decode(raw)
			if err != nil {
				return err
			}
			more, err := yield(e)
			if err != nil || !more {
				return err
			}
			if rows++; q.max > 0 && rows >= q.max {
				return nil
			}
		}
	}
	return nil
}
