package object

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// TestTable checks what every row of the table must hold to.
func TestTable(t *testing.T) {
	type cell struct {
		attribute cryptoki.AttributeType
		kind      kind
	}
	rows := map[cell]bool{}
	for i := range table {
		r := &table[i]
		for k := data; k&all != 0; k <<= 1 {
			if r.of&k == 0 {
				continue
			}
			if rows[cell{r.attribute, k}] {
				t.Errorf("%v has two rows for kind %#x", r.attribute, k)
			}
			rows[cell{r.attribute, k}] = true
		}
		flag := r.form.check([]byte{0}) == nil && r.form.check([]byte{1}) == nil && r.form.check([]byte{2}) != nil && r.form.check(nil) != nil
		if isBool := r.attribute.Kind() == cryptoki.KindBool; isBool != flag {
			t.Errorf("%v: the form of its row is not that of the standard's type", r.attribute)
		}
		long := r.form.check(make([]byte, 8)) == nil && r.form.check(nil) != nil && r.form.check(make([]byte, 16)) != nil
		if isULong := r.attribute.Kind() == cryptoki.KindULong; isULong != long {
			t.Errorf("%v: CK_ULONG in the standard: %v, in its row: %v", r.attribute, isULong, long)
		}
		if (r.set == raise || r.set == lower || r.copy == raise || r.create == onlyFalse) && !flag {
			t.Errorf("%v is raised or lowered and no CK_BBOOL", r.attribute)
		}
		if r.set == asSet || r.set == anew {
			t.Errorf("%v: column set says nothing", r.attribute)
		}
		if r.marks&hidden != 0 && (r.marks&inValue == 0 || r.set != fixed || r.of&^confidential != 0) {
			t.Errorf("%v is hidden, but not a fixed value of a private or secret key", r.attribute)
		}
		if p := purposeOf(r.attribute); p != 0 && (r.marks&bound == 0 || r.set != free || r.of&^keys != 0) {
			t.Errorf("%v is a purpose whose row is not like the others'", r.attribute)
		}
	}
	for _, a := range Indexed() {
		for _, s := range ruleSets {
			if r := s.byType[a]; r != nil && r.marks&inValue != 0 {
				t.Errorf("%v is indexed and in the value part of %v", a, s)
			}
		}
	}
}

// TestInitial makes the smallest object of each kind and reads back every attribute
// that it should have.
func TestInitial(t *testing.T) {
	for name, template := range samples {
		o := create(t, template)
		for _, r := range o.rules.rules {
			if r.initial == nil && r.create != required {
				continue
			}
			v := o.Value(r.attribute)
			if v == nil {
				t.Errorf("%s: no %v", name, r.attribute)
			} else if err := r.form.check(v); err != nil {
				t.Errorf("%s: %v %v", name, r.attribute, err)
			}
		}
	}
}
