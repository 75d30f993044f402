package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

const repository = "../.."

func TestFilesAreFresh(t *testing.T) {
	outputs, err := generate(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outputs {
		onDisk, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(o.path)))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(onDisk, o.data) {
			t.Errorf("%s is stale: run go run ./internal/gen", o.path)
		}
	}
}
