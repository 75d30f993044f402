// Command gen makes the generated files of the repository from
// cryptoki/table. It is run from the top of the repository: go run ./internal/gen
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// output is one generated file; path is relative to the top of the repository.
type output struct {
	path string
	data []byte
}

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes every generated file under root.
func run(root string) error {
	outputs, err := codecOutputs(root)
	if err != nil {
		return err
	}
	for _, o := range outputs {
		path := filepath.Join(root, o.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, o.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
