package hsm

import (
	"crypto/fips140"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/wire"
)

// validationApproved is the only bit of the session's validation flags (PKCS#11 3.2,
// "C_GetSessionValidationFlags"): the last service was an approved one, by a
// cryptographic module in its approved mode.
const validationApproved = 1

func (r *request) sessionValidation(q *wire.SessionValidationRequest, p *wire.SessionValidationReply) error {
	if q.Type != cryptoki.CKS_LAST_VALIDATION_OK {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "there are no validation flags of type %d", q.Type)
	}
	if fips140.Enabled() && r.session.Approved() {
		p.Flags = validationApproved
	}
	return nil
}
