package dispatch

import (
	"context"
	"errors"

	"github.com/fleetjobs/fleetjobs/internal/job"
)

// NewTemplate is the version of a template that must not exist yet; AnyVersion is whatever there is, or nothing.
const NewTemplate = -1

// ErrTemplateExists says that there is a template where the caller wants to be the first.
var ErrTemplateExists = errors.New("the template exists")

// PutTemplate stores a template in place of the version that the caller knows, and gives it as it is stored then. One that is
// stored already with the same content stays as it is. The error is ErrTemplateExists, or ErrEdited if
// there is another version, or none.
func (d *Dispatcher) PutTemplate(ctx context.Context, t job.Template, version int, by job.Caller) (*job.Template, error) {
	for {
		old, err := d.store.Template(ctx, t.ID)
		if err != nil && !errors.Is(err, job.ErrNotFound) {
			return nil, err
		}
		if old != nil && old.Same(&t) && version != NewTemplate {
			return old, nil
		}
		switch {
		case old != nil && version == NewTemplate:
			return nil, ErrTemplateExists
		case !meant(old, version):
			return nil, ErrEdited
		}
		next := t
		next.Version, next.CreatedAt, next.Key = 1, d.now(), "template."+t.ID+"."+nonce()
		if old != nil {
			next.Version, next.CreatedAt, next.Key, next.Rev = old.Version+1, old.CreatedAt, old.Key, old.Rev
		}
		next.UpdatedAt, next.UpdatedBy = d.now(), by.Principal
		err = d.store.PutTemplate(ctx, &next, next.Change(job.ActionTemplateStored, by, next.UpdatedAt))
		if (errors.Is(err, job.ErrConflict) || errors.Is(err, job.ErrExists)) && ctx.Err() == nil {
			continue // somebody else was faster
		}
		return &next, err
	}
}

// DeleteTemplate forgets the version of a template that the caller knows. Jobs that were made of it stay as they are.
func (d *Dispatcher) DeleteTemplate(ctx context.Context, id string, version int, by job.Caller) error {
	for {
		t, err := d.store.Template(ctx, id)
		if err != nil {
			return err
		}
		if !meant(t, version) {
			return ErrEdited
		}
		err = d.store.DeleteTemplate(ctx, t, t.Change(job.ActionTemplateDeleted, by, d.now()))
		if !errors.Is(err, job.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}

// meant reports whether a template, nil for none, is in the version that a caller knows.
func meant(t *job.Template, version int) bool {
	switch {
	case version == AnyVersion:
		return true
	case t == nil:
		return version == NewTemplate
	}
	return t.Version == version
}
