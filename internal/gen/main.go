// Command gen writes every generated file of this repository from the tables in
// cryptoki/table. Run it from the top of the repository:
//
//	go run ./internal/gen
//
// Its test fails when a file on disk is not what it would write.
//
// It may import only the standard library, and none of the packages that it
// writes: a broken generated file must not keep it from building.
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

// families make the generated files from the tables under root.
var families = []func(root string) ([]output, error){
	constantOutputs,
	headerOutputs,
	codecOutputs,
}

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generate(root string) ([]output, error) {
	var all []output
	for _, family := range families {
		outputs, err := family(root)
		if err != nil {
			return nil, err
		}
		all = append(all, outputs...)
	}
	return all, nil
}

// run writes every generated file under root. An error in a table leaves all
// files as they were.
func run(root string) error {
	outputs, err := generate(root)
	if err != nil {
		return err
	}
	for _, o := range outputs {
		path := filepath.Join(root, filepath.FromSlash(o.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, o.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
