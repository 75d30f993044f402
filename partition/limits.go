package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/keystore"
	"tidelock.dev/tidelock/object"
	"tidelock.dev/tidelock/policy"
)

// denies tells whether the partition has a policy that allows something, and it is off.
func (p *Partition) denies(id policy.ID) bool {
	own := p.Identity().Policies
	return own.Has(id) && !own.On(id)
}

// limits are what the policies add to the rules for the purposes of keys.
func (p *Partition) limits() object.Limits {
	return object.Limits{OnePair: p.denies(policy.Multipurpose), Fixed: p.denies(policy.ChangingAttributes)}
}

// mayManage checks that keys may be made, changed and destroyed.
// Error: CKR_ACTION_PROHIBITED.
func (p *Partition) mayManage() error {
	if p.denies(policy.KeyManagement) {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "partition policy %d: keys are not made, changed or destroyed", policy.KeyManagement)
	}
	return nil
}

// mayManageObject is mayManage for an object that may be no key.
func (p *Partition) mayManageObject(o *object.Object) error {
	if !isKey(o) {
		return nil
	}
	return p.mayManage()
}

// setter makes a changed object of one.
type setter func(*object.Object) (*object.Object, error)

// alteration is a setter that also writes what goes with the change, in the same update.
type alteration func(keystore.Writer, *object.Object) (*object.Object, error)

// alone is the alteration that writes nothing else.
func (set setter) alone(_ keystore.Writer, o *object.Object) (*object.Object, error) { return set(o) }

// setter makes of an object what C_SetAttributeValue says.
func (s *Session) setter(t cryptoki.Template) setter {
	limits := s.partition.limits()
	return func(o *object.Object) (*object.Object, error) {
		n, err := o.Set(t)
		if err != nil {
			return nil, err
		}
		return n, limits.CheckChange(o, n)
	}
}

// trusts tells whether C_SetAttributeValue is the Partition SO's saying whether a key or
// certificate is to be trusted: his template has CKA_TRUSTED alone (PKCS#11 3.2, 4.8 and
// 4.10). He sees public objects only.
func (s *Session) trusts(t cryptoki.Template) (trusted, trusts bool) {
	if s.member.Role() != RolePartitionSO || len(t) != 1 || t[0].Type != cryptoki.CKA_TRUSTED {
		return false, false
	}
	return cryptoki.ParseBool(t[0].Value)
}

// trust is the setter of CKA_TRUSTED.
func trust(trusted bool) setter {
	return func(o *object.Object) (*object.Object, error) { return o.Trust(trusted) }
}
