package crash

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// owner is an application that makes, changes, uses and destroys its own things,
// and knows what of that was acknowledged. Between two servers at most one of its
// calls has an outcome that it does not know.
type owner struct {
	name    string
	rng     *mathrand.Rand
	acts    *acts
	made    int
	things  []*thing
	gone    []*thing // destroyed, which was acknowledged
	unknown *unknown
}

// unknown is the call whose reply was lost.
type unknown struct {
	call   string
	thing  *thing
	label  string   // of a label's change, the new one
	object []uint64 // of a destruction, the objects under way
}

const (
	making     = "making"
	relabeling = "relabeling"
	destroying = "destroying"
)

// maxThings is how many things an owner keeps: enough for pages to split and merge
// over the rounds, few enough to look at all of them after each.
const maxThings = 12

// work does random acts until a call is lost, and returns any other error.
func (o *owner) work(a *app) error {
	for {
		if err := o.act(a); err != nil {
			return err
		}
	}
}

func (o *owner) act(a *app) error {
	n := len(o.things)
	if n == 0 {
		return o.create(a)
	}
	i := o.rng.IntN(n)
	switch roll := o.rng.IntN(10); {
	case n >= maxThings || roll == 0:
		return o.destroy(a, i)
	case roll < 5:
		return o.create(a)
	case roll < 8:
		return o.relabel(a, o.things[i])
	default:
		return o.things[i].use(a)
	}
}

// newThing is a thing to be made. Its label is its own, its id is shared by nothing
// else either, so that each index can be asked for it.
func (o *owner) newThing() *thing {
	o.made++
	x := &thing{kind: kind(o.rng.IntN(int(kinds))), token: newToken(), id: fmt.Sprintf("%s id %d", o.name, o.made)}
	x.label = o.newLabel()
	if x.kind == imported {
		x.value = make([]byte, 32)
		_, _ = rand.Read(x.value)
	}
	return x
}

func (o *owner) newLabel() string {
	o.made++
	return fmt.Sprintf("%s label %d", o.name, o.made)
}

func (o *owner) create(a *app) error {
	x := o.newThing()
	o.unknown = &unknown{call: making, thing: x}
	handle, err := x.make(a)
	if err != nil {
		return err
	}
	o.unknown = nil
	return o.keep(a, x, handle)
}

// keep takes note of a thing whose making was acknowledged.
func (o *owner) keep(a *app, x *thing, handle []uint64) error {
	x.handle = handle
	o.things = append(o.things, x)
	if err := o.acts.fresh(handle); err != nil {
		return err
	}
	o.acts.made(x)
	return x.learn(a)
}

func (o *owner) relabel(a *app, x *thing) error {
	// The halves of a pair are relabeled one by one; only a key that is one object is
	// simple to follow.
	if x.kind == pair {
		return x.use(a)
	}
	label := o.newLabel()
	o.unknown = &unknown{call: relabeling, thing: x, label: label}
	if err := a.setLabel(x.handle[0], label); err != nil {
		return err
	}
	o.unknown = nil
	x.relabel(label)
	o.acts.note("attributes", "CKR_OK", x.handle[0])
	return nil
}

func (o *owner) destroy(a *app, i int) error {
	x := o.things[i]
	o.things = slices.Delete(o.things, i, i+1)
	for n, h := range x.handle {
		o.unknown = &unknown{call: destroying, thing: x, object: x.handle[n:]}
		if err := a.destroy(h); err != nil {
			return err
		}
		o.acts.note("destroy", "CKR_OK", h)
	}
	o.unknown = nil
	o.gone = append(o.gone, x)
	return nil
}

// settle finds out what became of the call whose reply was lost: all of it or
// nothing.
func (o *owner) settle(a *app) error {
	u := o.unknown
	if u == nil {
		return nil
	}
	o.unknown = nil
	switch u.call {
	case making:
		return o.settleMaking(a, u.thing)
	case relabeling:
		found, err := a.find(labelled(nil, u.label))
		if err != nil {
			return err
		}
		if len(found) > 0 {
			u.thing.relabel(u.label)
		}
		return nil // check looks at the rest
	}
	// The objects of a pair before this one were destroyed and acknowledged.
	found, err := a.find(labelled(nil, u.thing.label))
	if err != nil {
		return err
	}
	if !slices.Equal(found, u.object) && !slices.Equal(found, u.object[1:]) {
		return fmt.Errorf("%s: after a destruction of %d there are %d", u.thing.label, u.object, found)
	}
	for _, h := range found {
		if err := a.destroy(h); err != nil {
			return err
		}
		o.acts.note("destroy", "CKR_OK", h)
	}
	o.gone = append(o.gone, u.thing)
	return nil
}

// settleMaking repeats a creating call, which must give the objects of the first, or
// finds them without.
func (o *owner) settleMaking(a *app, x *thing) error {
	before, err := a.find(labelled(nil, x.label))
	if err != nil {
		return err
	}
	if len(before) != 0 && len(before) != x.size() {
		return fmt.Errorf("%s: %d objects of %d", x.label, len(before), x.size())
	}
	x.handle = before
	if len(before) == 0 && o.rng.IntN(2) == 0 {
		return nil // it was never made, and nobody asks again
	}
	handle, err := x.make(a)
	if err != nil {
		return err
	}
	if len(before) != 0 && !slices.Equal(handle, before) {
		return fmt.Errorf("%s: the repeat gave %d, there was %d", x.label, handle, before)
	}
	return o.keep(a, x, handle)
}

// check compares everything with what was acknowledged.
func (o *owner) check(a *app) error {
	for _, x := range o.things {
		if err := x.check(a); err != nil {
			return err
		}
	}
	for _, x := range o.gone {
		for _, h := range x.handle {
			if _, err := a.read(h, cryptoki.CKA_LABEL); !errors.Is(err, cryptoki.CKR_OBJECT_HANDLE_INVALID) {
				return fmt.Errorf("%s was destroyed, and object %d answers %v", x.label, h, err)
			}
		}
		if err := x.checkFormer(a); err != nil {
			return err
		}
		found, err := a.find(identified(nil, x.id))
		if err != nil || len(found) != 0 {
			return fmt.Errorf("%s was destroyed, and its id finds %d (%v)", x.label, found, err)
		}
	}
	// What was long ago stays out of the rounds to come.
	if len(o.gone) > maxThings {
		o.gone = slices.Delete(o.gone, 0, len(o.gone)-maxThings)
	}
	return nil
}
