package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// The first argument of this program when it is a part of the measurement.
const (
	childHub  = "hub-process"
	childLoop = "loop-process"
)

// child is this program in another role. It lives until its input ends, so that it dies with this process.
type child struct {
	cmd   *exec.Cmd
	input io.WriteCloser
	lines *bufio.Reader
}

func startChild(args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	c := &child{cmd: exec.Command(self, args...)}
	c.cmd.Stderr = os.Stderr
	input, inErr := c.cmd.StdinPipe()
	output, outErr := c.cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return nil, fmt.Errorf("starting %s: %w", args[0], err)
	}
	c.input, c.lines = input, bufio.NewReader(output)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", args[0], err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// tell sends a value as a line of JSON.
func (c *child) tell(v any) error {
	if err := json.NewEncoder(c.input).Encode(v); err != nil {
		return fmt.Errorf("telling %s: %w", c.cmd.Args[1], err)
	}
	return nil
}

// hear reads a line of JSON into v.
func (c *child) hear(v any) error {
	line, err := c.lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		return fmt.Errorf("listening to %s: %w", c.cmd.Args[1], err)
	}
	return nil
}

// close ends the child and waits for it.
func (c *child) close() error {
	return errors.Join(c.input.Close(), c.cmd.Wait())
}
