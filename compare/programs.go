package compare

import (
	"fmt"
	"os"
	"path/filepath"
)

// Programs are what scenarios work with, as absolute paths.
type Programs struct {
	Tidelock string // the command
	P11      string // runs scripts of PKCS#11 calls
	Module   string // the PKCS#11 library
}

// FindPrograms finds the others from where the command lies: beside it as built, or
// in the directories where a package has them.
func FindPrograms(tidelock string) (Programs, error) {
	p := Programs{Tidelock: tidelock}
	dir := filepath.Dir(tidelock)
	for _, find := range []struct {
		path  *string
		what  string
		among []string
	}{
		{&p.P11, "tidelock-p11", []string{"tidelock-p11", "../libexec/tidelock/tidelock-p11"}},
		{&p.Module, "libtidelock.so", []string{"libtidelock.so", "../lib/*/libtidelock.so", "../lib/libtidelock.so"}},
	} {
		for _, pattern := range find.among {
			if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
				*find.path = found[0]
				break
			}
		}
		if *find.path == "" {
			return p, fmt.Errorf("%s is neither beside %s nor where the package has it: \"make build\" makes it", find.what, tidelock)
		}
	}
	return p, p.Check()
}

// Check tells which program is missing.
func (p Programs) Check() error {
	for _, path := range []string{p.Tidelock, p.P11, p.Module} {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%q is no absolute path", path)
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: \"make build\" makes it", err)
		}
	}
	return nil
}
