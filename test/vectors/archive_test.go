package vectors

import (
	"archive/zip"
	"io"
	"path/filepath"
	"testing"
)

// archived is a file of vectors.
type archived struct {
	name string
	file *zip.File
}

// archive lists the files of testdata/NAME that match patterns, and fails the test for a
// pattern that none matches. They can be read until the test ends.
func archive(t *testing.T, name string, patterns ...string) (files []archived) {
	t.Helper()
	r, err := zip.OpenReader(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	for _, pattern := range patterns {
		before := len(files)
		for _, f := range r.File {
			matched, err := filepath.Match(pattern, f.Name)
			if err != nil {
				t.Fatal(err)
			}
			if matched {
				files = append(files, archived{f.Name, f})
			}
		}
		if len(files) == before {
			t.Fatalf("%s has no %s", name, pattern)
		}
	}
	return files
}

func (a archived) read(t *testing.T) []byte {
	t.Helper()
	r, err := a.file.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
