// Package archive writes blobs block by block into one container of Azure Blob Storage. It owns the requests and what counts as sent:
// a block is sent once the service has checked its MD5, and stays for a week until its blob is committed
// (https://learn.microsoft.com/rest/api/storageservices/put-block). What a blob holds, and when something may be deleted because it is
// there, is its caller's.
package archive

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what the service checks a transfer with, no protection against people
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// MaxBlocks is how many blocks a blob has at most
// (https://learn.microsoft.com/rest/api/storageservices/understanding-block-blobs--append-blobs--and-page-blobs).
const MaxBlocks = 50_000

// Block is a part of a blob.
type Block struct {
	ID   string
	Size int64
}

// Blocks are the parts of a blob: Committed are those it consists of, in their order, none while it is not there; Waiting those that
// were sent since and are in no blob yet.
type Blocks struct {
	Committed, Waiting []Block
}

// Container writes blobs below a folder of a container. It is safe for concurrent use.
type Container struct {
	client *container.Client
	folder string
}

// New gives the Container of a client; folder is without slashes at its ends, "" for none.
func New(client *container.Client, folder string) *Container {
	if folder != "" {
		folder += "/"
	}
	return &Container{client: client, folder: folder}
}

// Name is the whole name of a blob, with its container.
func (c *Container) Name(name string) string {
	parts, err := blob.ParseURL(c.blob(name).URL())
	if err != nil {
		return c.folder + name
	}
	return parts.ContainerName + "/" + parts.BlobName
}

func (c *Container) blob(name string) *blockblob.Client {
	return c.client.NewBlockBlobClient(c.folder + name)
}

// Blocks lists the parts of a blob; of one that nobody began there are none.
func (c *Container) Blocks(ctx context.Context, name string) (Blocks, error) {
	list, err := c.blob(name).GetBlockList(ctx, blockblob.BlockListTypeAll, nil)
	if bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ContainerNotFound) {
		return Blocks{}, nil
	}
	if err != nil {
		return Blocks{}, fmt.Errorf("listing the blocks of %s: %w", name, err)
	}
	committed, err := blocksOf(list.CommittedBlocks)
	if err != nil {
		return Blocks{}, err
	}
	waiting, err := blocksOf(list.UncommittedBlocks)
	return Blocks{Committed: committed, Waiting: waiting}, err
}

func blocksOf(list []*blockblob.Block) ([]Block, error) {
	blocks := make([]Block, 0, len(list))
	for _, b := range list {
		if b == nil || b.Name == nil || b.Size == nil {
			return nil, errors.New("listing blocks: one has no name or no size")
		}
		id, err := base64.StdEncoding.DecodeString(*b.Name)
		if err != nil {
			return nil, fmt.Errorf("listing blocks: %w", err)
		}
		blocks = append(blocks, Block{ID: string(id), Size: *b.Size})
	}
	return blocks, nil
}

// Send sends a block, which replaces one with its id that waits. All ids of a blob must have the same length. Where the container
// is missing, and may be made, it is made.
func (c *Container) Send(ctx context.Context, name, id string, data []byte) error {
	err := c.send(ctx, name, id, data)
	if bloberror.HasCode(err, bloberror.ContainerNotFound) {
		if _, made := c.client.Create(ctx, nil); made != nil && !bloberror.HasCode(made, bloberror.ContainerAlreadyExists) {
			return fmt.Errorf("making the container of %s, which is missing: %w", name, made)
		}
		err = c.send(ctx, name, id, data)
	}
	if err != nil {
		return fmt.Errorf("sending a block of %s: %w", name, err)
	}
	return nil
}

func (c *Container) send(ctx context.Context, name, id string, data []byte) error {
	sum := md5.Sum(data) //nolint:gosec // see the import
	_, err := c.blob(name).StageBlock(ctx, base64.StdEncoding.EncodeToString([]byte(id)), streaming.NopCloser(bytes.NewReader(data)),
		&blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeMD5(sum[:])})
	return err
}

// Commit makes a blob of blocks that were sent, or were in the blob before.
func (c *Container) Commit(ctx context.Context, name, contentType string, ids []string) error {
	encoded := make([]string, len(ids))
	for i, id := range ids {
		encoded[i] = base64.StdEncoding.EncodeToString([]byte(id))
	}
	_, err := c.blob(name).CommitBlockList(ctx, encoded, &blockblob.CommitBlockListOptions{
		HTTPHeaders: &blob.HTTPHeaders{BlobContentType: new(contentType)},
	})
	if err != nil {
		return fmt.Errorf("committing %s: %w", name, err)
	}
	return nil
}
