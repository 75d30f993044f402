package object

import (
	"bytes"
	"math/bits"
	"slices"

	"tidelock.dev/tidelock/cryptoki"
)

// draft is an object that is being made.
type draft struct {
	ctx        Context
	rules      *ruleSet
	attributes map[cryptoki.AttributeType][]byte
}

// newDraft takes the caller's template in.
func newDraft(ctx Context, rules *ruleSet, t cryptoki.Template) (*draft, error) {
	list, err := rules.resolve(t)
	if err != nil {
		return nil, err
	}
	d := &draft{ctx, rules, make(map[cryptoki.AttributeType][]byte, len(rules.rules))}
	for _, g := range list {
		if err := d.give(g); err != nil {
			return nil, err
		}
	}
	for _, r := range rules.rules {
		if _, ok := d.attributes[r.attribute]; !ok && r.presence(ctx.Origin) == required {
			return nil, cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCOMPLETE, "%v is missing", r.attribute)
		}
	}
	return d, nil
}

func (r *rule) presence(o Origin) presence {
	switch {
	case o == Created:
		return r.create
	case o != Generated && r.generate == required:
		return optional // it follows from the value that is unwrapped or derived
	}
	return r.generate
}

// give takes one attribute of the caller's template in.
func (d *draft) give(g given) error {
	t := g.rule.attribute
	if !d.ctx.Format.orNewest().has(g.rule) {
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, "%v is not known at this firmware level", t)
	}
	switch p := g.rule.presence(d.ctx.Origin); {
	case p == notHere:
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_TYPE_INVALID, "%v is not known before there is a key", t)
	case p == readOnly:
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_READ_ONLY, "%v cannot be given", t)
	case p == onlyFalse && !isFalse(g.value):
		return cryptoki.Errorf(cryptoki.CKR_ATTRIBUTE_READ_ONLY, "%v cannot be true", t)
	}
	// Class and key type are known already; the template may repeat them.
	if (t == cryptoki.CKA_CLASS || t == cryptoki.CKA_KEY_TYPE) && !bytes.Equal(g.value, g.rule.initial(d)) {
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "%v is not that of a %v", t, d.rules)
	}
	if t == cryptoki.CKA_SENSITIVE && d.ctx.Origin == Unwrapped {
		// A wrapped key says nothing of its attributes, and it may be somebody's secret.
		// Programs ask for what can be read out of habit: they get the key all the same.
		g.value = cryptoki.Bool(true)
	}
	if g.rule.marks&derived == 0 {
		d.attributes[t] = g.value
	}
	return nil
}

// add takes the values in that a mechanism made. Errors: CKR_WRAPPED_KEY_INVALID,
// CKR_KEY_SIZE_RANGE of a derived key; CKR_GENERAL_ERROR of a generated one, since nothing
// that a caller does makes it bad.
func (d *draft) add(values cryptoki.Template) error {
	if len(values) == 0 {
		return nil
	}
	list, err := d.rules.resolve(values)
	if err != nil {
		code := cryptoki.CKR_GENERAL_ERROR
		switch d.ctx.Origin {
		case Unwrapped:
			code = cryptoki.CKR_WRAPPED_KEY_INVALID
		case Derived:
			code = cryptoki.CKR_KEY_SIZE_RANGE
		}
		return cryptoki.Errorf(code, "%v made a %v that cannot be: %v", d.ctx.Mechanism, d.rules, err)
	}
	for _, r := range d.rules.rules {
		if r.marks&measured != 0 {
			delete(d.attributes, r.attribute)
		}
	}
	for _, g := range list {
		d.attributes[g.rule.attribute] = g.value
	}
	return nil
}

// complete gives the attributes that have no value their initial ones.
func (d *draft) complete() {
	for _, r := range d.rules.rules {
		if _, ok := d.attributes[r.attribute]; !ok && r.initial != nil && d.ctx.Format.orNewest().has(r) {
			d.attributes[r.attribute] = r.initial(d)
		}
	}
}

// check decides whether the attributes go together.
// Errors: CKR_TEMPLATE_INCONSISTENT, CKR_TEMPLATE_INCOMPLETE of a certificate.
func (d *draft) check() error {
	if err := d.checkCertificate(); err != nil {
		return err
	}
	if err := checkTogether(func(t cryptoki.AttributeType) []byte { return d.attributes[t] }); err != nil {
		return err
	}
	if err := d.checkProtection(); err != nil {
		return err
	}
	p := purposesOf(d.bool)
	if err := checkMade(d.rules.kind, p); err != nil {
		return err
	}
	return d.ctx.Limits.checkPair(p)
}

// checkProtection keeps a key from being less protected than what it is made of.
// Error: CKR_TEMPLATE_INCONSISTENT.
func (d *draft) checkProtection() error {
	sensitive, extractable := d.bool(cryptoki.CKA_SENSITIVE), d.bool(cryptoki.CKA_EXTRACTABLE)
	switch {
	case d.ctx.Origin != Derived:
	case d.ctx.Base.Bool(cryptoki.CKA_SENSITIVE) && !sensitive:
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "the base key is CKA_SENSITIVE, and so is what is derived from it")
	case !d.ctx.Base.Bool(cryptoki.CKA_EXTRACTABLE) && extractable:
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "the base key is not CKA_EXTRACTABLE, and so is not what is derived from it")
	}
	return nil
}

// checkCertificate finds what is missing of a certificate that may be elsewhere, under its
// CKA_URL (PKCS#11 3.2, 4.6.3 and 4.6.4). Error: CKR_TEMPLATE_INCOMPLETE.
func (d *draft) checkCertificate() error {
	if d.rules.kind&(x509|wtls) == 0 {
		return nil
	}
	empty := func(t cryptoki.AttributeType) bool { return len(d.attributes[t]) == 0 }
	switch {
	case empty(cryptoki.CKA_URL) && empty(cryptoki.CKA_VALUE):
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCOMPLETE, "a certificate has a CKA_VALUE or a CKA_URL")
	case d.rules.kind == wtls && empty(cryptoki.CKA_SUBJECT) && !empty(cryptoki.CKA_VALUE):
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCOMPLETE, "a WTLS certificate with a CKA_VALUE has a CKA_SUBJECT")
	case empty(cryptoki.CKA_URL):
		return nil
	}
	for _, hash := range []cryptoki.AttributeType{cryptoki.CKA_HASH_OF_SUBJECT_PUBLIC_KEY, cryptoki.CKA_HASH_OF_ISSUER_PUBLIC_KEY} {
		if empty(hash) {
			return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCOMPLETE, "a certificate with a CKA_URL has %v", hash)
		}
	}
	return nil
}

// checkParameters checks that subprime and base of domain parameters are below the prime.
// Error: CKR_TEMPLATE_INCONSISTENT.
func checkParameters(get func(cryptoki.AttributeType) []byte) error {
	prime := get(cryptoki.CKA_PRIME)
	for _, t := range []cryptoki.AttributeType{cryptoki.CKA_SUBPRIME, cryptoki.CKA_BASE} {
		if v := get(t); len(v) > len(prime) || len(v) == len(prime) && bytes.Compare(v, prime) >= 0 && len(v) > 0 {
			return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "%v is not below CKA_PRIME", t)
		}
	}
	return nil
}

// checkTogether checks what holds between the attributes of an object.
// Errors: CKR_TEMPLATE_INCONSISTENT, CKR_ASSIGNED_KEY_FAILED_ATTRIBUTE_DEPENDENCIES.
func checkTogether(get func(cryptoki.AttributeType) []byte) error {
	start, end := get(cryptoki.CKA_START_DATE), get(cryptoki.CKA_END_DATE)
	if len(start) > 0 && len(end) > 0 && bytes.Compare(start, end) > 0 {
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "CKA_START_DATE is after CKA_END_DATE")
	}
	if isTrue(get(cryptoki.CKA_ALWAYS_AUTHENTICATE)) && !isTrue(get(cryptoki.CKA_PRIVATE)) {
		return cryptoki.Errorf(cryptoki.CKR_TEMPLATE_INCONSISTENT, "CKA_ALWAYS_AUTHENTICATE needs CKA_PRIVATE")
	}
	if err := checkParameters(get); err != nil {
		return err
	}
	return checkAssigned(get)
}

// object makes the object of a complete draft.
func (d *draft) object() (*Object, error) {
	o := &Object{rules: d.rules, format: d.ctx.Format.orNewest(), granted: purposesOf(d.bool)}
	for _, r := range d.rules.rules {
		v, ok := d.attributes[r.attribute]
		switch {
		case !ok && r.create == required:
			return nil, cryptoki.Errorf(cryptoki.CKR_GENERAL_ERROR, "%v made a %v without %v", d.ctx.Mechanism, d.rules, r.attribute)
		case !ok:
		case r.marks&inValue != 0:
			o.values = append(o.values, value{r.attribute, len(v), clone(v)})
		default:
			o.shown = append(o.shown, cryptoki.Attribute{Type: r.attribute, Value: clone(v)})
		}
	}
	o.sort()
	return o, nil
}

// clone copies a value. Unlike bytes.Clone it never gives nil, which means that
// there is no such attribute.
func clone(v []byte) []byte { return append(make([]byte, 0, len(v)), v...) }

func (d *draft) bool(t cryptoki.AttributeType) bool { return isTrue(d.attributes[t]) }

func isTrue(v []byte) bool { b, ok := cryptoki.ParseBool(v); return ok && b }

func isFalse(v []byte) bool { b, ok := cryptoki.ParseBool(v); return ok && !b }

// The initial values.

func no(*draft) []byte    { return cryptoki.Bool(false) }
func yes(*draft) []byte   { return cryptoki.Bool(true) }
func zero(*draft) []byte  { return cryptoki.ULong(uint64(0)) }
func empty(*draft) []byte { return []byte{} }

func ofClass(d *draft) []byte    { return cryptoki.ULong(d.rules.class) }
func ofVariety(d *draft) []byte  { return cryptoki.ULong(d.rules.variety) }
func ifLoggedIn(d *draft) []byte { return cryptoki.Bool(d.ctx.LoggedIn) }

// The history of a key tells of its whole life: what came from outside was
// there in clear, whatever its template says now.

func ifLocal(d *draft) []byte { return cryptoki.Bool(d.ctx.Origin == Generated) }

func madeBy(d *draft) []byte {
	if d.ctx.Origin != Generated {
		return cryptoki.ULong(cryptoki.UnavailableInformation)
	}
	return cryptoki.ULong(d.ctx.Mechanism)
}

func ifSensitive(d *draft) []byte {
	return cryptoki.Bool(d.keeps(cryptoki.CKA_ALWAYS_SENSITIVE) && d.bool(cryptoki.CKA_SENSITIVE))
}

func ifNotExtractable(d *draft) []byte {
	return cryptoki.Bool(d.keeps(cryptoki.CKA_NEVER_EXTRACTABLE) && !d.bool(cryptoki.CKA_EXTRACTABLE))
}

// keeps tells whether the key's past does not speak against a flag of its history.
func (d *draft) keeps(flag cryptoki.AttributeType) bool {
	return d.ctx.Origin == Generated || d.ctx.Origin == Derived && d.ctx.Base.Bool(flag)
}

// sensitive is CKA_SENSITIVE unless the template says otherwise.
func sensitive(d *draft) []byte {
	return cryptoki.Bool(d.ctx.Origin != Derived || d.ctx.Base.Bool(cryptoki.CKA_SENSITIVE))
}

func modulusBits(d *draft) []byte  { return d.bits(cryptoki.CKA_MODULUS) }
func primeBits(d *draft) []byte    { return d.bits(cryptoki.CKA_PRIME) }
func subprimeBits(d *draft) []byte { return d.bits(cryptoki.CKA_SUBPRIME) }

// bits is the length of a big integer in bits.
func (d *draft) bits(t cryptoki.AttributeType) []byte {
	n := d.attributes[t]
	if len(n) == 0 {
		return zero(d)
	}
	return cryptoki.ULong(uint64(8*(len(n)-1) + bits.Len8(n[0])))
}

func valueLength(d *draft) []byte {
	return cryptoki.ULong(uint64(len(d.attributes[cryptoki.CKA_VALUE])))
}

func (o *Object) sort() {
	slices.SortFunc(o.shown, func(a, b cryptoki.Attribute) int { return byType(a, b.Type) })
	slices.SortFunc(o.values, func(a, b value) int { return byValueType(a, b.typ) })
}
