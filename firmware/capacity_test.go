package firmware

import "testing"

func TestCapacityLevel(t *testing.T) {
	for _, l := range Levels() {
		base := l.CapacityLevel()
		if Converts(base, l) != l.AtLeast(versions) || base.AtLeast(versions) {
			t.Errorf("the capacity of %v is that of %v", l, base)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, k := range Keys() {
		if k.Name == "" || k.Size < 128 {
			t.Errorf("%+v: no object is smaller than 128 bytes", k)
		}
	}
}
