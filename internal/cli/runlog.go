package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Where dev and demo keep what their parts say, below the current folder.
const (
	devLogPath  = ".fleetjobs/dev.log"
	demoLogPath = ".fleetjobs/demo.log"
)

// openLog gives the log file and, if verbose, repeats it on the error stream.
func (m *Main) openLog(path string, verbose bool) (*runLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	log := &runLog{file: file}
	log.write = file.Write
	if verbose {
		log.write = io.MultiWriter(file, m.Stderr).Write
	}
	return log, nil
}

// runLog is the log of everything that runs.
type runLog struct {
	lockedWriter
	file *os.File
}

func (l *runLog) Close() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("closing the log: %w", err)
	}
	return nil
}
