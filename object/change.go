package object

import (
	"bytes"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// Set is C_SetAttributeValue: the object with the template's values. A change is
// made as a whole or not at all.
//
// Errors: CKR_ASSIGNED_KEY_CANNOT_BE_MODIFIED for a key that is its owner's alone;
// CKR_ATTRIBUTE_READ_ONLY for an attribute that cannot change, or not
// that way; CKR_ACTION_PROHIBITED for an object that is not CKA_MODIFIABLE;
// or for a certificate that is trusted (PKCS#11 3.2, 4.6);
// CKR_TEMPLATE_INCONSISTENT for a purpose that conflicts with one that the key
// ever had; for what is wrong with the template those of New.
func (o *Object) Set(t cryptoki.Template) (*Object, error) {
	if err := o.refuseAssigned(); err != nil {
		return nil, err
	}
	list, err := o.rules.resolve(t)
	if err != nil {
		return nil, err
	}
	for _, g := range list {
		if err := o.mayChange(g, g.rule.set); err != nil {
			return nil, err
		}
	}
	switch {
	case !o.Bool(cryptoki.CKA_MODIFIABLE):
		return nil, cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "the object is not modifiable")
	case o.rules.kind&certificates != 0 && o.Bool(cryptoki.CKA_TRUSTED):
		return nil, cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "a trusted certificate is not modified")
	}
	return o.with(list)
}

// Copy is C_CopyObject: a new object like this one but for the template. History
// and purposes that it once had go along, and a private or secret key gets no others;
// trust does not go along. What is not CKA_MODIFIABLE stays as it is in the copy, but for
// CKA_TOKEN and CKA_PRIVATE.
//
// Errors: CKR_ACTION_PROHIBITED for an object that is not CKA_COPYABLE, or a
// change to a copy that is not CKA_MODIFIABLE; else those of Set.
func (o *Object) Copy(t cryptoki.Template) (*Object, error) {
	if err := o.refuseAssigned(); err != nil {
		return nil, err
	}
	if !o.Bool(cryptoki.CKA_COPYABLE) {
		return nil, cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "the object is not copyable")
	}
	list, err := o.rules.resolve(t)
	if err != nil {
		return nil, err
	}
	modifiable := o.Bool(cryptoki.CKA_MODIFIABLE)
	for _, g := range list {
		how := g.rule.copy
		if how == asSet {
			how = g.rule.set
		}
		if err := o.mayChange(g, how); err != nil {
			return nil, err
		}
		if !modifiable && g.rule.copy == asSet && !bytes.Equal(g.value, o.Value(g.rule.attribute)) {
			return nil, cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "the object is not modifiable: %v", g.rule.attribute)
		}
	}
	n, err := o.Narrowed().with(list)
	if err != nil {
		return nil, err
	}
	n.renew()
	return n, nil
}

// OUIDSize is the length of a CKA_OUID in bytes.
const OUIDSize = 12

// WithOUID gives the object, which nobody has seen yet, the vendor's CKA_OUID: a number of
// OUIDSize bytes that it keeps wherever it goes.
func (o *Object) WithOUID(id [OUIDSize]byte) *Object {
	n := o.fork()
	n.put(o.rules.byType[cryptoki.CKA_OUID], id[:])
	return n
}

// mayChange decides whether an attribute may change to the value given.
// Error: CKR_ATTRIBUTE_READ_ONLY.
func (o *Object) mayChange(g given, how change) error {
	t := g.rule.attribute
	switch {
	case how == fixed, how == anew:
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_READ_ONLY, "%v cannot be changed", t)
	case how == drop && len(g.value) > 0:
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_READ_ONLY, "%v can be emptied, and not changed otherwise", t)
	case how == raise && o.Bool(t) && !isTrue(g.value):
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_READ_ONLY, "%v cannot be set to false again", t)
	case how == lower && !o.Bool(t) && isTrue(g.value):
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_READ_ONLY, "%v cannot be set to true again", t)
	}
	return nil
}

// with is the object with other values, which each for itself may be.
// Error: CKR_TEMPLATE_INCONSISTENT.
func (o *Object) with(list []given) (*Object, error) {
	n := o.fork()
	for _, g := range list {
		if o.closed && g.rule.marks&inValue != 0 {
			return nil, cryptoki.Errorf(cryptoki.CKR_GENERAL_ERROR, "%v cannot change while the value part is closed", g.rule.attribute)
		}
		switch {
		case g.rule.marks&derived != 0:
		case g.rule.set == drop:
			n.remove(g.rule.attribute)
		default:
			n.put(g.rule, g.value)
		}
	}
	now := purposesOf(n.Bool)
	if err := checkGranted(o.rules.kind, o.granted, now); err != nil {
		return nil, err
	}
	n.granted |= now
	if err := checkTogether(n.metadata); err != nil {
		return nil, err
	}
	return n, nil
}

// fork is a copy of the object that may be changed as long as nobody else has it.
func (o *Object) fork() *Object {
	n := *o
	n.shown = slices.Clone(o.shown)
	n.values = slices.Clone(o.values)
	return &n
}

// put sets an attribute, copying the value.
func (o *Object) put(r *rule, v []byte) {
	t := r.attribute
	if r.marks&inValue != 0 {
		i, ok := o.findValue(t)
		if !ok {
			o.values = slices.Insert(o.values, i, value{typ: t})
		}
		o.values[i].length, o.values[i].bytes = len(v), clone(v)
		return
	}
	i, ok := slices.BinarySearchFunc(o.shown, t, byType)
	if !ok {
		o.shown = slices.Insert(o.shown, i, cryptoki.Attribute{Type: t})
	}
	o.shown[i].Value = clone(v)
}

// renew gives a copy the initial values of what does not go along.
func (o *Object) renew() {
	d := &draft{rules: o.rules}
	for _, r := range o.rules.rules {
		if r.copy != anew || !o.format.has(r) {
			continue
		}
		if r.initial != nil {
			o.put(r, r.initial(d))
			continue
		}
		o.remove(r.attribute)
	}
}

// remove takes an attribute of the metadata away.
func (o *Object) remove(t cryptoki.AttributeType) {
	o.shown = slices.DeleteFunc(o.shown, func(a cryptoki.Attribute) bool { return a.Type == t })
}
