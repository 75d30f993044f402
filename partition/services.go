package partition

import (
	"slices"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/policy"
)

// services is what a partition offers: the mechanisms of this build, as far as the
// firmware level has them and the policies leave them.
type services struct {
	// fips says that the partition is in FIPS configuration.
	fips bool
	// dates says that CKA_START_DATE and CKA_END_DATE are enforced, foreign that keys
	// which were not made here may sign.
	dates, foreign bool
	offers         map[cryptoki.MechanismType]service
}

// service is one mechanism with what the level says of it.
type service struct {
	*mech.Mechanism
	level     firmware.Mechanism
	functions cryptoki.Flags // that are offered, and the flags that are no functions
}

// functionFlags are the flags of CK_MECHANISM_INFO that stand for functions.
const functionFlags = cryptoki.CKF_ENCRYPT | cryptoki.CKF_DECRYPT | cryptoki.CKF_DIGEST | cryptoki.CKF_SIGN | cryptoki.CKF_VERIFY |
	cryptoki.CKF_SIGN_RECOVER | cryptoki.CKF_VERIFY_RECOVER |
	cryptoki.CKF_GENERATE | cryptoki.CKF_GENERATE_KEY_PAIR | cryptoki.CKF_WRAP | cryptoki.CKF_UNWRAP | cryptoki.CKF_DERIVE

func newServices(level firmware.Level, above, own policy.Set) *services {
	s := &services{
		fips:    above.Has(policy.HSMNonFIPS) && !above.On(policy.HSMNonFIPS) || own.Has(policy.NonFIPS) && !own.On(policy.NonFIPS),
		dates:   own.On(policy.KeyDates),
		foreign: !own.Has(policy.NonLocalSigning) || own.On(policy.NonLocalSigning),
		offers:  make(map[cryptoki.MechanismType]service),
	}
	table := make(map[cryptoki.MechanismType]firmware.Mechanism)
	for _, m := range level.Mechanisms() {
		table[m.Type] = m
	}
	for _, m := range mech.All() {
		row, there := table[m.Type]
		if other, has := remapped[m.Type]; s.fips && has {
			row, there = table[other]
		}
		if !there || !offered(m.Type, own) {
			continue
		}
		functions := m.Flags & functionFlags & row.Allowed(s.fips)
		if own.Has(policy.Prehash) && !own.On(policy.Prehash) && prehashed(m.Type) {
			functions &^= cryptoki.CKF_VERIFY | cryptoki.CKF_VERIFY_RECOVER
		}
		if functions != 0 {
			s.offers[m.Type] = service{m, row, withoutMessages(functions | m.Flags&^functionFlags)}
		}
	}
	return s
}

// remapped are generators that are another one in FIPS configuration, whose primes are
// as it wants them: clients do so, since programs know the old names.
var remapped = map[cryptoki.MechanismType]cryptoki.MechanismType{
	cryptoki.CKM_RSA_PKCS_KEY_PAIR_GEN:  cryptoki.CKM_RSA_FIPS_186_3_PRIME_KEY_PAIR_GEN,
	cryptoki.CKM_RSA_X9_31_KEY_PAIR_GEN: cryptoki.CKM_RSA_FIPS_186_3_AUX_PRIME_KEY_PAIR_GEN,
}

// offered tells whether the partition's policies leave a mechanism.
func offered(t cryptoki.MechanismType, own policy.Set) bool {
	switch t {
	case cryptoki.CKM_RSA_X_509:
		return !own.Has(policy.RawRSA) || own.On(policy.RawRSA)
	case cryptoki.CKM_RSA_PKCS:
		return !own.Has(policy.RSAPKCS) || own.On(policy.RSAPKCS)
	}
	return true
}

// prehashed tells whether a mechanism verifies a digest that the caller has made.
func prehashed(t cryptoki.MechanismType) bool {
	return t == cryptoki.CKM_RSA_PKCS || t == cryptoki.CKM_RSA_PKCS_PSS || t == cryptoki.CKM_ECDSA
}

// MechanismInfo is what CK_MECHANISM_INFO tells of a mechanism.
type MechanismInfo struct {
	Type cryptoki.MechanismType
	// Min and Max bound the key, in the unit that the standard gives for the mechanism.
	Min, Max uint64
	Flags    cryptoki.Flags
}

// Mechanisms are those that the partition offers, in the order of their types.
func (p *Partition) Mechanisms() []cryptoki.MechanismType {
	s := p.services.Load()
	list := make([]cryptoki.MechanismType, 0, len(s.offers))
	for t := range s.offers {
		list = append(list, t)
	}
	slices.Sort(list)
	return list
}

// Mechanism tells of one mechanism. Error: CKR_MECHANISM_INVALID.
func (p *Partition) Mechanism(t cryptoki.MechanismType) (MechanismInfo, error) {
	s := p.services.Load()
	m, there := s.offers[t]
	if !there {
		return MechanismInfo{}, cryptoki.Errorf(cryptoki.CKR_MECHANISM_INVALID, "%v is not offered at firmware level %v under the policies", t, p.level)
	}
	least := m.level.Min
	if s.fips {
		least = m.level.FIPSMin
		if m.functions&^undoing&functionFlags == 0 {
			least = m.level.LegacyMin
		}
	}
	info := MechanismInfo{Type: t, Min: m.MinKey, Max: m.MaxKey, Flags: m.functions}
	if len(m.KeyTypes) > 0 {
		unit := m.infoUnit()
		info.Min, info.Max = max(info.Min, (least+unit-1)/unit), min(info.Max, m.level.Max/unit)
	}
	return info, nil
}

// undoing are the functions that protect nothing any more.
const undoing = cryptoki.CKF_DECRYPT | cryptoki.CKF_VERIFY | cryptoki.CKF_VERIFY_RECOVER | cryptoki.CKF_UNWRAP

// unit is how many bits the sizes of the mechanism's keys count by.
func (m service) unit() uint64 {
	switch m.KeyTypes[0] {
	case cryptoki.CKK_RSA, cryptoki.CKK_EC, cryptoki.CKK_EC_EDWARDS, cryptoki.CKK_EC_MONTGOMERY:
		return 1
	}
	return 8
}

// offer finds a mechanism that the partition offers for a function. Error:
// CKR_MECHANISM_INVALID.
func (p *Partition) offer(t cryptoki.MechanismType, function cryptoki.Flags) (service, error) {
	m, there := p.services.Load().offers[t]
	if !there || m.functions&function == 0 {
		return service{}, cryptoki.Errorf(cryptoki.CKR_MECHANISM_INVALID, "%v does not offer this function", t)
	}
	return m, nil
}

// infoUnit is how many bits CK_MECHANISM_INFO counts by: generic secrets are generated by
// the bit and used by the byte.
func (m service) infoUnit() uint64 {
	if m.Flags&cryptoki.CKF_GENERATE != 0 && m.KeyTypes[0] != cryptoki.CKK_AES {
		return 1
	}
	return m.unit()
}

// makes tells whether the mechanism makes keys of a size at all, in the unit of the key.
func (m service) makes(size uint64) bool {
	bits := size * m.unit()
	return bits >= m.MinKey*m.infoUnit() && bits <= m.MaxKey*m.infoUnit()
}

// permit tells whether a function may use, or make, a key of a size in the unit of the
// key. Error: CKR_KEY_SIZE_RANGE.
func (m service) permit(function cryptoki.Flags, size uint64, fips bool) error {
	return m.level.Permit(function, size*m.unit(), fips)
}

// mayUse checks what the partition's policies and the firmware level say of a key for a
// function. Errors: CKR_KEY_SIZE_RANGE; CKR_KEY_TYPE_INCONSISTENT for a curve that FIPS
// configuration has no use for; CKR_KEY_FUNCTION_NOT_PERMITTED for a signing key
// that was not made here; CKR_KEY_NOT_ACTIVE outside the key's dates.
func (p *Partition) mayUse(m service, function cryptoki.Flags, r *resident) error {
	s := p.services.Load()
	key, err := r.parsedKey()
	if err != nil {
		return err
	}
	if err := m.permit(function, key.Size(), s.fips); err != nil {
		return err
	}
	if s.fips && !mech.ApprovedKey(key) {
		return cryptoki.Errorf(cryptoki.CKR_KEY_TYPE_INCONSISTENT, "the key's curve is not among those of FIPS 186-5 and SP 800-56A, and the partition is in FIPS configuration")
	}
	o := r.object
	if function&(cryptoki.CKF_SIGN|cryptoki.CKF_SIGN_RECOVER) != 0 && !s.foreign && !o.Bool(cryptoki.CKA_LOCAL) {
		return cryptoki.Errorf(cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "partition policy %d: keys that were not made here do not sign", policy.NonLocalSigning)
	}
	if !s.dates {
		return nil
	}
	today := p.config.Now().UTC().Format("20060102")
	if start := o.Value(cryptoki.CKA_START_DATE); len(start) > 0 && today < string(start) {
		return cryptoki.Errorf(cryptoki.CKR_KEY_NOT_ACTIVE, "the key's CKA_START_DATE is still to come")
	}
	if end := o.Value(cryptoki.CKA_END_DATE); len(end) > 0 && today > string(end) {
		return cryptoki.Errorf(cryptoki.CKR_KEY_NOT_ACTIVE, "the key's CKA_END_DATE is past")
	}
	return nil
}

// Approved tells whether the partition is in FIPS configuration.
func (p *Partition) Approved() bool { return p.services.Load().fips }
