package partition

import (
	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/object"
)

// generator finds the mechanism of a key generation and checks that it makes what
// flag says, in the size that the template asks for. Errors: CKR_MECHANISM_INVALID,
// CKR_MECHANISM_PARAM_INVALID, CKR_KEY_SIZE_RANGE.
func (s *Session) generator(m *cryptoki.Mechanism, flag cryptoki.Flags, t cryptoki.Template) (service, error) {
	offer, err := s.partition.offer(m.Type, flag)
	if err != nil {
		return offer, err
	}
	if m.Shape != offer.Shape {
		return offer, cryptoki.Errorf(cryptoki.CKR_MECHANISM_PARAM_INVALID, "%v takes no such parameter", m.Type)
	}
	for _, sized := range []cryptoki.AttributeType{cryptoki.CKA_MODULUS_BITS, cryptoki.CKA_VALUE_LEN} {
		value, _ := t.Find(sized)
		if size, given := cryptoki.ParseULong(value); given && size <= mostKey && offer.makes(size) {
			if err := offer.permit(flag, size, s.partition.Approved()); err != nil {
				return offer, err
			}
		}
	}
	return offer, nil
}

// mostKey is above every size that a key can have. What the mechanism makes at no level is
// for the mechanism to refuse.
const mostKey = 1 << 20

// boolIn reads a CK_BBOOL from a template. What is not one is found by the rules of
// the object.
func boolIn(t cryptoki.Template, typ cryptoki.AttributeType, otherwise bool) bool {
	value, given := t.Find(typ)
	if !given {
		return otherwise
	}
	b, _ := cryptoki.ParseBool(value)
	return b
}

// GenerateKey is C_GenerateKey.
func (s *Session) GenerateKey(token Token, m *cryptoki.Mechanism, t cryptoki.Template) (cryptoki.ObjectHandle, error) {
	entry, err := s.generator(m, cryptoki.CKF_GENERATE, t)
	if err != nil {
		return 0, err
	}
	if made, err := s.created(token, boolIn(t, cryptoki.CKA_TOKEN, false)); made != nil || err != nil {
		return first(made), err
	}
	ctx, typ := s.context(object.Generated, m.Type), entry.KeyTypes[0]
	if err := s.partition.mayManage(); err != nil {
		return 0, err
	}
	t, guard, err := s.admit(t)
	if err != nil {
		return 0, err
	}
	// All that can be refused is refused before the expense of making the key.
	if err := object.Check(ctx, cryptoki.CKO_SECRET_KEY, typ, t); err != nil {
		return 0, err
	}
	if err := s.mayHold(boolIn(t, cryptoki.CKA_TOKEN, false), true); err != nil {
		return 0, err
	}
	values, err := entry.Generate(m, t)
	if err != nil {
		return 0, err
	}
	o, err := object.New(ctx, cryptoki.CKO_SECRET_KEY, typ, t, values)
	wipe(values)
	if err != nil {
		return 0, err
	}
	if o, err = guard.on(o); err != nil {
		return 0, err
	}
	handles, err := s.keep(token, creation{member: s.member, event: audit.EventKeyGenerate, mechanism: audit.Some(m.Type)}, o)
	if err == nil {
		s.made(entry, cryptoki.CKF_GENERATE, m, handles[0])
	}
	return first(handles), err
}

// GenerateKeyPair is C_GenerateKeyPair. Both halves are stored, or neither.
func (s *Session) GenerateKeyPair(token Token, m *cryptoki.Mechanism, public, private cryptoki.Template) (pub, priv cryptoki.ObjectHandle, err error) {
	entry, err := s.generator(m, cryptoki.CKF_GENERATE_KEY_PAIR, public)
	if err != nil {
		return 0, 0, err
	}
	made, err := s.created(token, boolIn(public, cryptoki.CKA_TOKEN, false), boolIn(private, cryptoki.CKA_TOKEN, false))
	if err != nil {
		return 0, 0, err
	}
	if made != nil {
		return made[0], made[1], nil
	}
	ctx, typ := s.context(object.Generated, m.Type), entry.KeyTypes[0]
	if err := s.partition.mayManage(); err != nil {
		return 0, 0, err
	}
	private, guard, err := s.admit(private)
	if err != nil {
		return 0, 0, err
	}
	if err := object.Check(ctx, cryptoki.CKO_PUBLIC_KEY, typ, public); err != nil {
		return 0, 0, err
	}
	if err := object.Check(ctx, cryptoki.CKO_PRIVATE_KEY, typ, private); err != nil {
		return 0, 0, err
	}
	durable := boolIn(public, cryptoki.CKA_TOKEN, false) || boolIn(private, cryptoki.CKA_TOKEN, false)
	if err := s.mayHold(durable, true); err != nil {
		return 0, 0, err
	}
	if params, given := public.Find(cryptoki.CKA_EC_PARAMS); given && s.partition.Approved() {
		if err := mech.ApprovedCurve(params); err != nil {
			return 0, 0, err
		}
	}
	publicValues, privateValues, err := entry.GeneratePair(m, public, private)
	if err != nil {
		return 0, 0, err
	}
	defer wipe(privateValues)
	pubObject, err := object.New(ctx, cryptoki.CKO_PUBLIC_KEY, typ, public, publicValues)
	if err != nil {
		return 0, 0, err
	}
	privObject, err := object.New(ctx, cryptoki.CKO_PRIVATE_KEY, typ, private, privateValues)
	if err != nil {
		return 0, 0, err
	}
	if privObject, err = guard.on(privObject); err != nil {
		return 0, 0, err
	}
	handles, err := s.keep(token, creation{member: s.member, event: audit.EventKeyPairGenerate, mechanism: audit.Some(m.Type)}, pubObject, privObject)
	if err != nil {
		return 0, 0, err
	}
	s.made(entry, cryptoki.CKF_GENERATE_KEY_PAIR, m, handles[0])
	return handles[0], handles[1], nil
}

// wipe overwrites key values that have been copied into an object.
func wipe(values cryptoki.Template) {
	for _, a := range values {
		clear(a.Value)
	}
}
