package attributes

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/pkcs11"
)

// cells counts what was compared, used the exceptions that were needed.
var (
	cells atomic.Int64
	used  sync.Map
)

// TestAttributes compares each kind of object with the table.
func TestAttributes(t *testing.T) {
	t.Run("subjects", func(t *testing.T) {
		for _, s := range subjects(t) {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				c := &comparison{T: t, subject: s, session: open(t)}
				c.initial()
				c.hidden()
				for range c.rows() {
					for _, w := range s.ways {
						c.made(w)
					}
					c.set()
					c.copied()
				}
				c.foreign()
			})
		}
	})
	t.Logf("%d cells", cells.Load())
	for i, e := range exceptions {
		if _, needed := used.Load(i); !needed && !t.Failed() {
			t.Errorf("no cell needs the exception %q of %#x", e.cell, e.attributes)
		}
	}
}

func open(t *testing.T) pkcs11.SessionHandle {
	t.Helper()
	s, err := hsm.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hsm.CloseSession(s); err != nil {
			t.Error(err)
		}
	})
	return s
}

// comparison is one subject with one row of the table.
type comparison struct {
	*testing.T
	subject subject
	session pkcs11.SessionHandle
	row     row
}

func (c *comparison) has(n notes) bool { return c.row.notes&n != 0 }

// sample is a value to give.
func (c *comparison) sample() *pkcs11.Attribute {
	if c.row.sample == nil || c.has(mustCreate|material) {
		if a := find(c.subject.ways[0].least, c.row.attribute); a != nil {
			return a
		}
	}
	return pkcs11.NewAttribute(c.row.attribute, c.row.sample)
}

// want compares an answer with the table's, or with an exception's, and tells whether the
// call succeeded, as it should.
func (c *comparison) want(cell string, err error, want pkcs11.Error) bool {
	c.Helper()
	cells.Add(1)
	for i, e := range exceptions {
		if e.of&c.subject.kind != 0 && slices.Contains(e.attributes, c.row.attribute) && e.cell == cell {
			used.Store(i, true)
			want = e.want
		}
	}
	got := pkcs11.Error(pkcs11.CKR_OK)
	if err != nil {
		got, _ = err.(pkcs11.Error)
	}
	if got != want || err != nil && got == pkcs11.CKR_OK {
		c.Errorf("%s, %s: %v, want %v", c.row.name, cell, err, want)
	}
	return err == nil && want == pkcs11.CKR_OK
}

// reads reads the attribute and compares the value.
func (c *comparison) reads(cell string, h pkcs11.ObjectHandle, want []byte) {
	c.Helper()
	cells.Add(1)
	got, err := c.read(h)
	if err != nil || !bytes.Equal(got, want) {
		c.Errorf("%s, %s: reads %x (%v), want %x", c.row.name, cell, got, err, want)
	}
}

func (c *comparison) read(h pkcs11.ObjectHandle) ([]byte, error) {
	got, err := hsm.GetAttributeValue(c.session, h, template{pkcs11.NewAttribute(c.row.attribute, nil)})
	if err != nil {
		return nil, err
	}
	return got[0].Value, nil
}

// make makes an object that the test rests on.
func (c *comparison) make(t template) pkcs11.ObjectHandle {
	c.Helper()
	h, err := create(c.session, t)
	if err != nil {
		c.Fatalf("C_CreateObject: %v", err)
	}
	return h
}

func (c *comparison) forget(h pkcs11.ObjectHandle) {
	c.Helper()
	if err := hsm.DestroyObject(c.session, h); err != nil {
		c.Errorf("C_DestroyObject: %v", err)
	}
}

// rows goes through the rows of the subject.
func (c *comparison) rows() iter.Seq[row] {
	return func(yield func(row) bool) {
		for _, r := range table {
			if r.of&c.subject.kind == 0 {
				continue
			}
			if c.row = r; !yield(r) {
				return
			}
		}
	}
}

// initial reads each attribute of an object whose template does not name it.
func (c *comparison) initial() {
	least := c.subject.ways[0].least
	h := c.make(least)
	defer c.forget(h)
	for r := range c.rows() {
		value, err := c.read(h)
		switch {
		case c.has(hidden):
			c.want("initial", err, pkcs11.CKR_ATTRIBUTE_SENSITIVE)
		case r.initial == nil:
			c.want("initial", err, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID)
		case r.initial == given{}:
			if a := find(least, r.attribute); c.want("initial", err, pkcs11.CKR_OK) && a != nil && !bytes.Equal(a.Value, value) {
				c.Errorf("%s reads %x, given was %x", r.name, value, a.Value)
			}
		default:
			c.want("initial", err, pkcs11.CKR_OK)
			c.reads("initial", h, pkcs11.NewAttribute(r.attribute, r.initial).Value)
		}
	}
}

// made makes objects with the attribute and without it.
func (c *comparison) made(w way) {
	a := c.sample()
	if in := find(w.least, c.row.attribute); in != nil {
		a = in // class, key type, sizes: they are what the call can make
		if c.has(w.must) {
			h, err := w.call(c.session, without(w.least, c.row.attribute))
			if c.want(w.name+" without", err, pkcs11.CKR_TEMPLATE_INCOMPLETE) {
				c.forget(h)
			}
		}
	}
	want := pkcs11.Error(pkcs11.CKR_OK)
	if c.has(w.mustNot | officer) {
		want = pkcs11.CKR_ATTRIBUTE_READ_ONLY
	}
	h, err := w.call(c.session, with(w.least, a))
	if !c.want(w.name, err, want) {
		return
	}
	defer c.forget(h)
	switch value, err := c.read(h); {
	case c.has(hidden):
		c.want(w.name+" and read", err, pkcs11.CKR_ATTRIBUTE_SENSITIVE)
	case len(a.Value) == 0 && c.row.initial == given{}:
		// An empty value is a wish for none, or for the one that follows from the object.
	default:
		c.want(w.name+" and read", err, pkcs11.CKR_OK)
		if !bytes.Equal(value, a.Value) {
			c.Errorf("%s, %s: reads %x, given was %x", c.row.name, w.name, value, a.Value)
		}
	}
}

// loose is the least template of an object that hides nothing.
func (c *comparison) loose() template {
	t := c.subject.ways[0].least
	if c.subject.kind&confidential != 0 {
		t = append(slices.Clone(t), attributes(pkcs11.CKA_SENSITIVE, false, pkcs11.CKA_EXTRACTABLE, true)...)
	}
	return t
}

// set changes the attribute of an object that is there.
func (c *comparison) set() {
	h := c.make(c.loose())
	a := c.sample()
	if c.row.name != "CKA_DESTROYABLE" && c.row.name != "CKA_MODIFIABLE" {
		defer c.forget(h)
	}
	want := pkcs11.Error(pkcs11.CKR_OK)
	if !c.has(modifiable | sticksTrue | sticksFalse) {
		want = pkcs11.CKR_ATTRIBUTE_READ_ONLY
	}
	if !c.want("set", hsm.SetAttributeValue(c.session, h, template{a}), want) {
		return
	}
	if len(a.Value) > 0 {
		c.reads("set and read", h, a.Value)
	}
	if c.has(sticksTrue | sticksFalse) {
		back := pkcs11.NewAttribute(c.row.attribute, c.has(sticksFalse))
		c.want("set back", hsm.SetAttributeValue(c.session, h, template{back}), pkcs11.CKR_ATTRIBUTE_READ_ONLY)
	}
}

// copied changes the attribute in a copy.
func (c *comparison) copied() {
	h := c.make(c.loose())
	defer c.forget(h)
	a := c.sample()
	want := pkcs11.Error(pkcs11.CKR_OK)
	if !c.has(modifiable | inCopy | sticksTrue | sticksFalse) {
		want = pkcs11.CKR_ATTRIBUTE_READ_ONLY
	}
	copied, err := hsm.CopyObject(c.session, h, template{a})
	if !c.want("copy", err, want) {
		return
	}
	defer c.forget(copied)
	if len(a.Value) > 0 {
		c.reads("copy and read", copied, a.Value)
	}
	// Of a copy that nothing is said of, the attribute is the original's.
	if c.has(readOnly|officer) && !c.has(mustCreate) {
		return
	}
	same, err := hsm.CopyObject(c.session, h, nil)
	if err != nil {
		c.Errorf("C_CopyObject: %v", err)
		return
	}
	defer c.forget(same)
	if value, err := c.read(h); err == nil {
		c.reads("plain copy", same, value)
	}
}

// hidden reads each attribute where the key is sensitive, where it is not extractable, and
// where it is neither.
func (c *comparison) hidden() {
	if c.subject.kind&confidential == 0 {
		return
	}
	for _, sensitive := range []bool{false, true} {
		for _, extractable := range []bool{false, true} {
			h := c.make(append(slices.Clone(c.subject.ways[0].least), attributes(pkcs11.CKA_SENSITIVE, sensitive, pkcs11.CKA_EXTRACTABLE, extractable)...))
			cell := fmt.Sprintf("read, sensitive %t, extractable %t", sensitive, extractable)
			for r := range c.rows() {
				value, err := c.read(h)
				want := pkcs11.Error(pkcs11.CKR_OK)
				switch {
				case c.has(hidden) && (sensitive || !extractable):
					want = pkcs11.CKR_ATTRIBUTE_SENSITIVE
				case r.initial == nil:
					want = pkcs11.CKR_ATTRIBUTE_TYPE_INVALID
				}
				if c.want(cell, err, want) && c.has(hidden) && !bytes.Equal(value, c.sample().Value) {
					c.Errorf("%s, %s: reads %x", r.name, cell, value)
				}
			}
			c.forget(h)
		}
	}
}

// foreign tries the attributes that the subject does not have.
func (c *comparison) foreign() {
	h := c.make(c.loose())
	defer c.forget(h)
	own := map[uint]bool{}
	for _, r := range table {
		own[r.attribute] = own[r.attribute] || r.of&c.subject.kind != 0
	}
	const unknown = 0x7abcdef0
	for _, r := range append(table, row{name: "an unknown attribute", attribute: unknown, sample: true}) {
		if own[r.attribute] {
			continue
		}
		own[r.attribute] = true
		want := pkcs11.Error(pkcs11.CKR_TEMPLATE_INCONSISTENT)
		if r.attribute == unknown {
			want = pkcs11.CKR_ATTRIBUTE_TYPE_INVALID
		}
		if r.sample == nil {
			r.sample = "x"
		}
		c.row = r
		a := pkcs11.NewAttribute(r.attribute, r.sample)
		for _, w := range c.subject.ways {
			made, err := w.call(c.session, with(w.least, a))
			c.want(w.name, err, want)
			if err == nil {
				c.forget(made)
			}
		}
		_, err := c.read(h)
		c.want("read", err, pkcs11.CKR_ATTRIBUTE_TYPE_INVALID)
		c.want("set", hsm.SetAttributeValue(c.session, h, template{a}), want)
		_, err = hsm.CopyObject(c.session, h, template{a})
		c.want("copy", err, want)
	}
}
