package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// file is one file of the app; name has slashes and is relative to its root.
type file struct {
	name    string
	content []byte
	mode    fs.FileMode
}

const (
	hostFile     = "host.json"
	functionFile = "function.json"
	settingsFile = "local.settings.json"
)

// functionName is the host's rule for the folders of functions.
var functionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,127}$`)

// appFiles reads host.json and functions/* of the repository and flattens
// them: the host looks for functions exactly one level below the app's root.
// It refuses what a host would pass over without an error.
func appFiles(root string) ([]file, error) {
	host, err := os.ReadFile(filepath.Join(root, hostFile))
	if err != nil {
		return nil, fmt.Errorf("read the app: %w", err)
	}
	if err := checkHost(host); err != nil {
		return nil, fmt.Errorf("check %s: %w", hostFile, err)
	}
	folders, err := os.ReadDir(filepath.Join(root, "functions"))
	if err != nil {
		return nil, fmt.Errorf("read the functions: %w", err)
	}
	files := []file{{hostFile, host, 0o644}}
	for _, folder := range folders {
		content, err := readFunction(filepath.Join(root, "functions"), folder)
		if err != nil {
			return nil, fmt.Errorf("check functions/%s: %w", folder.Name(), err)
		}
		files = append(files, file{folder.Name() + "/" + functionFile, content, 0o644})
	}
	if len(files) == 1 {
		return nil, errors.New("check functions: there are none")
	}
	return slices.Clip(files), nil
}

func checkHost(content []byte) error {
	var host struct {
		CustomHandler struct {
			Description struct{ DefaultExecutablePath string }
		}
	}
	if err := json.Unmarshal(content, &host); err != nil {
		return err
	}
	if path := host.CustomHandler.Description.DefaultExecutablePath; path != executable {
		return fmt.Errorf("defaultExecutablePath is %q, must be %q", path, executable)
	}
	return nil
}

func readFunction(functions string, folder fs.DirEntry) ([]byte, error) {
	name := folder.Name()
	if !folder.IsDir() || !functionName.MatchString(name) || strings.EqualFold(name, "host") || name == executable {
		return nil, errors.New("must be a folder with the name of a function")
	}
	entries, err := os.ReadDir(filepath.Join(functions, name))
	if err != nil {
		return nil, err
	}
	if len(entries) != 1 || entries[0].Name() != functionFile {
		return nil, fmt.Errorf("must hold %s and nothing else: the host takes another file for a script", functionFile)
	}
	content, err := os.ReadFile(filepath.Join(functions, name, functionFile))
	if err != nil {
		return nil, err
	}
	var function struct{ Bindings []json.RawMessage }
	if err := json.Unmarshal(content, &function); err != nil {
		return nil, err
	}
	if len(function.Bindings) == 0 {
		return nil, errors.New("has no bindings")
	}
	return content, nil
}

// localSettings returns the developer's settings, or else the example: Core
// Tools reads them where host.json is.
func localSettings(root string) (file, error) {
	content, err := os.ReadFile(filepath.Join(root, settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		content, err = os.ReadFile(filepath.Join(root, settingsFile+".example"))
	}
	if err != nil {
		return file{}, fmt.Errorf("read local settings: %w", err)
	}
	return file{settingsFile, content, 0o600}, nil
}

// zipFiles makes a zip that depends on nothing but its files: sorted, one time
// for all, Unix modes so that the binary stays executable.
func zipFiles(files []file) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(files), func(a, b file) int { return strings.Compare(a.name, b.name) })
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, f := range sorted {
		header := &zip.FileHeader{
			Name:     f.name,
			Method:   zip.Deflate,
			Modified: time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC), // the first that a zip can hold
		}
		header.SetMode(f.mode)
		entry, err := w.CreateHeader(header)
		if err != nil {
			return nil, fmt.Errorf("zip %s: %w", f.name, err)
		}
		if _, err := entry.Write(f.content); err != nil {
			return nil, fmt.Errorf("zip %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	return buf.Bytes(), nil
}
