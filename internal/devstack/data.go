package devstack

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fleetjobs/fleetjobs/internal/localhost"
)

// dataPath gives a path in the data folder, "" if nothing is kept.
func (s *Stack) dataPath(name string) string {
	if s.options.DataDir == "" {
		return ""
	}
	return filepath.Join(s.options.DataDir, name)
}

// prepareData makes the data folder, if there is to be one, and the keys of the app. They are made from the secret in the folder,
// so that they stay the same from run to run.
func (s *Stack) prepareData(context.Context) error {
	if s.options.DataDir != "" {
		dir, err := filepath.Abs(s.options.DataDir)
		if err != nil {
			return fmt.Errorf("finding the data folder: %w", err)
		}
		s.options.DataDir = dir
		if err := os.MkdirAll(s.dataPath("timers"), 0o755); err != nil {
			return fmt.Errorf("making the data folder: %w", err)
		}
	}
	secret, err := s.secret()
	if err != nil {
		return err
	}
	if secret == nil {
		secret = []byte(rand.Text())
	}
	key := func(name string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(name))
		return mac.Sum(nil)
	}
	s.keys = localhost.Keys{
		Master: base64.RawURLEncoding.EncodeToString(key("master key")), Host: base64.RawURLEncoding.EncodeToString(key("host key")),
		Further: []string{base64.RawURLEncoding.EncodeToString(key("approver's host key"))},
	}
	s.policyKey = base64.StdEncoding.EncodeToString(key("policy key"))
	return nil
}

// secret reads the secret of the data folder, or makes it; nil if nothing is kept.
func (s *Stack) secret() ([]byte, error) {
	path := s.dataPath("secret")
	if path == "" {
		return nil, nil
	}
	secret, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		secret = []byte(rand.Text())
		err = os.WriteFile(path, secret, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the secret of the data folder: %w", err)
	}
	if len(secret) == 0 {
		return nil, fmt.Errorf("the secret in %s is empty: delete the file", path)
	}
	return secret, nil
}
