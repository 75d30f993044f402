package partition

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// The service indicator: a module says of each service whether it was an approved one
// (FIPS 140-3 through ISO/IEC 19790:2012, 7.2.4; IG 2.4.C).

// Approved tells whether the session's last service that gave a result was an approved
// one. A session that has given none has not.
func (s *Session) Approved() bool { return s.approved.Load() }

// served notes a service that has given its result.
func (s *Session) served(approved bool) { s.approved.Store(approved) }

// approved tells whether a use of a key is an approved service: in FIPS configuration the
// level would offer it too, and no choice of the caller takes it out. The key is nil
// for a digest.
func (m service) approved(function cryptoki.Flags, p *cryptoki.Mechanism, r *resident) bool {
	return !unapproved(function, p) && m.approvedKey(function, r)
}

// approvedKey is approved for whatever parameter. The key is nil for a digest.
func (m service) approvedKey(function cryptoki.Flags, r *resident) bool {
	if !m.Approved {
		return false
	}
	if r == nil {
		return m.level.Permit(function, 0, true) == nil
	}
	key, err := r.parsedKey()
	return err == nil && mech.ApprovedKey(key) && m.level.Permit(function, key.Size()*m.unit(), true) == nil
}

// unapproved tells whether a parameter takes a service out of what is approved.
func unapproved(function cryptoki.Flags, p *cryptoki.Mechanism) bool {
	switch p.Type {
	case cryptoki.CKM_AES_GCM:
		// The module would have to make the IV (SP 800-38D, 8.2; IG C.H).
		return function == cryptoki.CKF_ENCRYPT || function == cryptoki.CKF_WRAP
	case cryptoki.CKM_RSA_PKCS_OAEP:
		oaep, err := p.OAEP()
		return err != nil || oaep.HashAlg == cryptoki.CKM_SHA_1
	case cryptoki.CKM_RSA_AES_KEY_WRAP:
		wrap, err := p.RSAAES()
		return err != nil || wrap.OAEP.HashAlg == cryptoki.CKM_SHA_1
	case cryptoki.CKM_ECDH1_DERIVE, cryptoki.CKM_ECDH1_COFACTOR_DERIVE:
		// A shared secret is no key before a derivation (SP 800-56A, 5.8).
		ecdh, err := p.ECDH1()
		return err != nil || ecdh.KDF == cryptoki.CKD_NULL
	case cryptoki.CKM_RSA_PKCS_PSS:
		pss, err := p.PSS()
		return err != nil || pss.HashAlg == cryptoki.CKM_SHA_1 && function == cryptoki.CKF_SIGN
	}
	return false
}

// made notes that a key was made by a generation.
func (s *Session) made(m service, function cryptoki.Flags, p *cryptoki.Mechanism, h cryptoki.ObjectHandle) {
	r, err := s.object(h)
	s.served(err == nil && m.approved(function, p, r))
}
