package archive_test

import (
	"io"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/fleetjobs/fleetjobs/internal/archive"
	"github.com/fleetjobs/fleetjobs/internal/azurecred"
	"github.com/fleetjobs/fleetjobs/internal/azurite/azuritetest"
)

func TestMain(m *testing.M) { azuritetest.Main(m) }

func open(t *testing.T) (*archive.Container, *container.Client) {
	t.Helper()
	client, err := azurecred.Blobs(azurecred.Config{ConnectionString: azuritetest.StartWithBlobs(t)}, "exports")
	require.NoError(t, err)
	return archive.New(client, "hub.azure-devices.net"), client
}

// A blob comes about block by block, in any order and by any number of processes, and is there once it is committed.
func TestABlobIsMadeOfBlocks(t *testing.T) {
	t.Parallel()
	c, client := open(t)
	const name = "job/run/executions.ndjson"
	none, err := c.Blocks(t.Context(), name)
	require.NoError(t, err, "neither container nor blob are there")
	require.Empty(t, none.Committed)
	require.Empty(t, none.Waiting)

	require.NoError(t, c.Send(t.Context(), name, "2", []byte("world")), "the container is made")
	require.NoError(t, c.Send(t.Context(), name, "1", []byte("draft")))
	require.NoError(t, c.Send(t.Context(), name, "1", []byte("hello ")), "again, with other content")
	sent, err := c.Blocks(t.Context(), name)
	require.NoError(t, err)
	require.Empty(t, sent.Committed)
	require.ElementsMatch(t, []archive.Block{{ID: "1", Size: 6}, {ID: "2", Size: 5}}, sent.Waiting)

	require.NoError(t, c.Commit(t.Context(), name, "application/x-ndjson", []string{"1", "2"}))
	require.NoError(t, c.Commit(t.Context(), name, "application/x-ndjson", []string{"1", "2"}), "its answer was lost")
	sent, err = c.Blocks(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, []archive.Block{{ID: "1", Size: 6}, {ID: "2", Size: 5}}, sent.Committed)
	require.Empty(t, sent.Waiting)
	require.Error(t, c.Commit(t.Context(), name, "application/x-ndjson", []string{"1", "3"}), "a block that nobody sent")

	got, err := client.NewBlobClient("hub.azure-devices.net/"+name).DownloadStream(t.Context(), nil)
	require.NoError(t, err)
	text, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	require.Equal(t, "hello world", string(text))
	require.Equal(t, "application/x-ndjson", *got.ContentType)
	require.Equal(t, "exports/hub.azure-devices.net/"+name, c.Name(name))
}
