package localhost

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// With this variable set to an app root the test binary is a host: it prints its handler's process id and stays.
const parentVariable = "LOCALHOST_TEST_PARENT"

func runTestParent(root string) {
	journal := os.Getenv("LOCALHOST_TEST_PARENT_JOURNAL")
	h, err := Start(context.Background(), Options{
		AppRoot: root, Env: []string{parentVariable + "=", handlerVariable + "=" + journal},
	})
	if err == nil {
		err = h.WaitReady(context.Background())
	}
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintf(os.Stdout, "%d\n", h.Pids()[0])
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// A host that is killed without notice takes its handler along.
func TestHandlerDiesWithTheHost(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")})
	self, err := os.Executable()
	require.NoError(t, err)
	parent := exec.CommandContext(t.Context(), self)
	parent.Env = append(os.Environ(), parentVariable+"="+a.root, "LOCALHOST_TEST_PARENT_JOURNAL="+a.journal)
	stdin, err := parent.StdinPipe()
	require.NoError(t, err)
	defer func() { _ = stdin.Close() }()
	stdout, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	handler, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(handler, 0), "the handler lives")

	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	require.Eventually(t, func() bool { return !alive(handler) }, time.Minute, 5*time.Millisecond)
}

// alive reports whether a process exists and is not a zombie that nobody reaps.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestCloseLeavesNoProcess(t *testing.T) {
	t.Parallel()
	a := newApp(t, map[string]string{"Job/function.json": httpFunction("x", "anonymous")})
	a.options.Instances = 2
	h := a.start(t)
	pids := h.Pids()
	require.NoError(t, h.Close())
	for _, pid := range pids {
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
	require.Equal(t, []int{0, 0}, h.Pids())
	require.Error(t, h.KillHandler(0))
	require.Error(t, h.KillHandler(2))
}
