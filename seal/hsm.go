package seal

import (
	"slices"

	"tidelock.dev/tidelock/internal/secret"
)

// RootKEK seals the HSM's key. It exists only while the HSM starts or its factors
// change.
type RootKEK struct {
	DerivationKey
	factors []Factor
}

// RootKEK makes the root key from the answers to its factors, in their order. The
// answers remain the caller's.
func (s *Stretcher) RootKEK(factors []Factor, answers ...secret.Bytes) (*RootKEK, error) {
	key, err := s.combine(factors, answers)
	if err != nil {
		return nil, err
	}
	return &RootKEK{key, slices.Clone(factors)}, nil
}

// HSMKey is the HSM's own key. Whoever has it reads everything but the values of
// private objects.
type HSMKey struct{ DerivationKey }

// NewHSMKey makes a random key.
func NewHSMKey() *HSMKey { return &HSMKey{newDerivationKey()} }

// hsmRecordVersion is the first byte of an HSMKey's record. Then come the factors,
// then the sealed key.
const hsmRecordVersion = 1

// hsmContext binds a record of an HSMKey to all that stands before the sealed key.
func hsmContext(head []byte) Context { return NewContext("hsm key").Bytes(head) }

// WrapHSMKey seals an HSMKey and says in the record which factors open it.
func (r *RootKEK) WrapHSMKey(h *HSMKey) []byte {
	head := appendFactors([]byte{hsmRecordVersion}, r.factors)
	return append(head, sealCommitted(r.DerivationKey, h.DerivationKey, hsmContext(head))...)
}

// RootFactors reads from an HSMKey's record which factors open it.
func RootFactors(record []byte) ([]Factor, error) {
	factors, _, err := parseHSMRecord(record)
	return factors, err
}

// parseHSMRecord also gives the sealed key, which is the record's end.
func parseHSMRecord(record []byte) ([]Factor, []byte, error) {
	if len(record) == 0 || record[0] != hsmRecordVersion {
		return nil, nil, malformed("the record of the HSM's key is not of version %d", hsmRecordVersion)
	}
	factors, sealed, err := parseFactors(record[1:])
	if err != nil {
		return nil, nil, err
	}
	if len(sealed) != committedSize {
		return nil, nil, malformed("the record of the HSM's key has %d bytes of sealed key, not %d", len(sealed), committedSize)
	}
	return factors, sealed, nil
}

// OpenHSMKey opens a record of WrapHSMKey. It returns ErrWrongSecret when the root
// key is not the one.
func (r *RootKEK) OpenHSMKey(record []byte) (*HSMKey, error) {
	_, sealed, err := parseHSMRecord(record)
	if err != nil {
		return nil, err
	}
	key, err := openCommitted(r.DerivationKey, sealed, hsmContext(record[:len(record)-len(sealed)]))
	if err != nil {
		return nil, err
	}
	return &HSMKey{key}, nil
}

// Records seals the HSM's own records: policies, clients, channel identities.
func (h *HSMKey) Records() *Key { return h.Key(NewContext("records")) }

// Counters authenticates the records of counters, which change too often for Key's
// bound and are not secret.
func (h *HSMKey) Counters() *MAC { return h.MAC(NewContext("counters")) }

// Audit authenticates the audit log.
func (h *HSMKey) Audit() *MAC { return h.MAC(NewContext("audit")) }

// Ticket seals one ticket's copy of PartKEK. The ticket is what the client holds:
// without it the HSM does not have the key. It remains the caller's.
func (h *HSMKey) Ticket(ticket secret.Bytes) *Key {
	mac := h.MAC(NewContext("tickets"))
	defer mac.Wipe()
	return mac.key(NewContext("ticket").Bytes(ticket.Expose()))
}

func partPubContext(partition uint64) Context { return NewContext("PartPub").Uint64(partition) }

// WrapPartPub seals a partition's PartPub.
func (h *HSMKey) WrapPartPub(partition uint64, p *PartPub) []byte {
	return p.seal(h.Key(NewContext("wrap")), partPubContext(partition))
}

// OpenPartPub opens a record of WrapPartPub.
func (h *HSMKey) OpenPartPub(partition uint64, record []byte) (*PartPub, error) {
	key, err := openDerivationKey(h.Key(NewContext("wrap")), record, partPubContext(partition))
	if err != nil {
		return nil, err
	}
	return &PartPub{key}, nil
}
