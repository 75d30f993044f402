package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/object"
)

// perKey tells whether the partition shows the attributes of Per-Key Authorization. One
// of version 0 has them in its objects, for the day when it becomes version 1.
func (p *Partition) perKey() bool { return p.Version() == 1 }

// admit checks what a template for a new or changed object says of Per-Key
// Authorization. Errors: CKR_AUTH_DATA_NOT_ALLOWED and CKR_ASSIGNED_KEY_NOT_ALLOWED where
// the partition has none.
func (p *Partition) admit(t cryptoki.Template) error {
	if p.perKey() {
		return nil
	}
	for _, a := range t {
		switch a.Type {
		case cryptoki.CKA_AUTH_DATA:
			return cryptoki.Errorf(cryptoki.CKR_AUTH_DATA_NOT_ALLOWED, "only a partition of version 1 has authorization data")
		case cryptoki.CKA_ASSIGNED:
			return cryptoki.Errorf(cryptoki.CKR_ASSIGNED_KEY_NOT_ALLOWED, "only a partition of version 1 has assigned keys")
		}
	}
	return nil
}

// hidden tells whether the partition keeps an attribute to itself.
func (p *Partition) hidden(t cryptoki.AttributeType) bool { return object.PerKey(t) && !p.perKey() }
