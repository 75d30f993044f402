package keystore

import (
	"errors"
	"slices"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// The numbers of the tables are on disk.
func TestTables(t *testing.T) {
	var names []string
	for i, table := range Tables {
		if int(table) != i+1 || CheckTable(table) != nil {
			t.Errorf("table %s has number %d", table, table)
		}
		names = append(names, table.String())
	}
	if want := []string{"hsm", "partition", "object", "index", "counter", "audit"}; !slices.Equal(names, want) {
		t.Errorf("the tables are %q", names)
	}
	if got := Table(99).String(); got != "Table(99)" {
		t.Errorf("an unknown table prints as %q", got)
	}
}

func TestFail(t *testing.T) {
	cause := errors.New("no space left")
	err := Fail(cause)
	if !errors.Is(err, ErrFailed) || !errors.Is(err, cause) || cryptoki.Code(err) != cryptoki.CKR_DEVICE_ERROR {
		t.Errorf("%v", err)
	}
}
