package partition

import (
	"slices"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
)

// AskLength as a capacity asks for the length of an output instead of the output.
const AskLength = ^uint64(0)

// operation is one active operation of a session.
type operation struct {
	mech.Operation
	mechanism *mech.Mechanism
	key       *resident // nil for a digest
	epoch     uint64    // the session's epoch when the key was last looked at
	logins    uint64    // the member's login count at Init
	parts     bool      // Update was called
	keyed     bool      // it is a digest of, among others, a key
	// contextLogin says that the key wants CKU_CONTEXT_SPECIFIC before each
	// operation (CKA_ALWAYS_AUTHENTICATE).
	contextLogin bool
	guarded      bool // the key has authorization data
	logged       bool // its use is in the audit log, or need not be
	approved     bool // it is an approved service
	// pending is output that did not fit into a frame, for Drain; ending says that
	// the operation is over when it is drained.
	pending []byte
	ending  bool
	// held is what the operation keeps of the application's allowance, in bytes.
	held uint64
}

// Permit tells a library what it may answer itself (docs/wire.md, "Operations").
type Permit struct {
	Valid     bool
	Rule      mech.Rule
	MultiPart bool
}

// Output is what an operation gives: Data, or, when Fits is false, only its
// length.
type Output struct {
	Data   []byte
	Length uint64
	Fits   bool
}

// usageOf is the attribute that a key needs for a function.
var usageOf = [...]cryptoki.AttributeType{
	mech.Encrypt:       cryptoki.CKA_ENCRYPT,
	mech.Decrypt:       cryptoki.CKA_DECRYPT,
	mech.Sign:          cryptoki.CKA_SIGN,
	mech.Verify:        cryptoki.CKA_VERIFY,
	mech.SignRecover:   cryptoki.CKA_SIGN_RECOVER,
	mech.VerifyRecover: cryptoki.CKA_VERIFY_RECOVER,
}

// flagOf is the mechanism flag of a function.
var flagOf = [...]cryptoki.Flags{
	mech.Encrypt:       cryptoki.CKF_ENCRYPT,
	mech.Decrypt:       cryptoki.CKF_DECRYPT,
	mech.Digest:        cryptoki.CKF_DIGEST,
	mech.Sign:          cryptoki.CKF_SIGN,
	mech.Verify:        cryptoki.CKF_VERIFY,
	mech.SignRecover:   cryptoki.CKF_SIGN_RECOVER,
	mech.VerifyRecover: cryptoki.CKF_VERIFY_RECOVER,

	mech.MessageEncrypt: cryptoki.CKF_ENCRYPT,
	mech.MessageDecrypt: cryptoki.CKF_DECRYPT,
}

// Init is C_EncryptInit and its siblings: all checks of
// docs/check-order.md, then the operation is active.
func (s *Session) Init(f mech.Function, m *cryptoki.Mechanism, key cryptoki.ObjectHandle) (Permit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.init(f, m, key); err != nil {
		return Permit{}, err
	}
	op := s.operations[f]
	return Permit{Valid: !op.contextLogin && !op.guarded, Rule: op.Rule(), MultiPart: op.mechanism.MultiPart}, nil
}

func (s *Session) init(f mech.Function, m *cryptoki.Mechanism, handle cryptoki.ObjectHandle) error {
	if f < mech.Encrypt || f > mech.VerifyRecover {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "unknown function %d", f)
	}
	// Close, which ends all operations, may have come first.
	if s.Closed() {
		return cryptoki.CKR_SESSION_HANDLE_INVALID
	}
	if s.operations[f] != nil {
		return cryptoki.CKR_OPERATION_ACTIVE
	}
	offer, err := s.partition.offer(m.Type, flagOf[f])
	if err != nil {
		return err
	}
	entry := offer.Mechanism
	op := &operation{mechanism: entry, epoch: s.Epoch(), logins: s.member.logins.Load()}
	var key mech.Key
	if f != mech.Digest {
		r, err := s.usableKey(f, entry, m.Type, handle)
		if err != nil {
			return err
		}
		if key, err = r.parsedKey(); err != nil {
			return err
		}
		if err := s.partition.mayUse(offer, flagOf[f], r); err != nil {
			return err
		}
		op.key = r
		op.contextLogin = r.object.Bool(cryptoki.CKA_ALWAYS_AUTHENTICATE)
		op.guarded = r.object.Guarded()
	}
	started, err := entry.Start(f, m, key)
	if err != nil {
		return err
	}
	op.Operation = started
	op.approved = offer.approved(flagOf[f], m, op.key)
	s.operations[f] = op
	return nil
}

// usableKey finds the key and checks all that needs only its attributes.
func (s *Session) usableKey(f mech.Function, entry *mech.Mechanism, typ cryptoki.MechanismType, handle cryptoki.ObjectHandle) (*resident, error) {
	r, err := s.object(handle)
	if err != nil {
		return nil, keyError(err)
	}
	o := r.object
	if o.KeyType() == cryptoki.KeyType(cryptoki.UnavailableInformation) {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_HANDLE_INVALID, "object %d is a %v, not a key", handle, o.Class())
	}
	if !slices.Contains(entry.KeyTypes, o.KeyType()) || !classFits(f, o.Class()) {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_TYPE_INCONSISTENT, "%v with a %v %v", typ, o.KeyType(), o.Class())
	}
	if !o.Bool(usageOf[f]) {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "%v is false", usageOf[f])
	}
	if !o.AllowsMechanism(typ) {
		return nil, cryptoki.Errorf(cryptoki.CKR_MECHANISM_INVALID, "%v is not among the key's CKA_ALLOWED_MECHANISMS", typ)
	}
	if typ == cryptoki.CKM_RSA_X_509 && f == mech.Sign && o.Had(cryptoki.CKA_UNWRAP) {
		return nil, cryptoki.Errorf(cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED, "a raw signature of a key that unwraps would open what is wrapped for it")
	}
	return r, nil
}

// classFits tells whether a key's class can do the function: the private half
// signs and decrypts, the public half verifies and encrypts, a secret key does
// all.
func classFits(f mech.Function, class cryptoki.ObjectClass) bool {
	switch class {
	case cryptoki.CKO_SECRET_KEY:
		return true
	case cryptoki.CKO_PRIVATE_KEY:
		return f == mech.Sign || f == mech.SignRecover || f == mech.Decrypt
	case cryptoki.CKO_PUBLIC_KEY:
		return f == mech.Verify || f == mech.VerifyRecover || f == mech.Encrypt
	}
	return false
}

// keyError turns an invalid object handle into an invalid key handle.
func keyError(err error) error {
	if cryptoki.Code(err) == cryptoki.CKR_OBJECT_HANDLE_INVALID {
		return cryptoki.CKR_KEY_HANDLE_INVALID
	}
	return err
}

// active returns the session's operation of function f after checking that its
// key is still the application's to use: a logout ends operations with private
// keys, a destruction those with the destroyed key, a changed policy those that it forbids.
func (s *Session) active(f mech.Function) (*operation, error) {
	if int(f) >= len(s.operations) || s.operations[f] == nil {
		return nil, cryptoki.CKR_OPERATION_NOT_INITIALIZED
	}
	op := s.operations[f]
	if op.ending {
		return nil, cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_INITIALIZED, "the operation is over, but for output that was not fetched")
	}
	if op.key == nil {
		return op, nil
	}
	if op.key.object.Private() && op.logins != s.member.logins.Load() {
		s.end(f)
		return nil, cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_INITIALIZED, "the login that began the operation has ended")
	}
	if epoch := s.Epoch(); op.epoch != epoch {
		now, err := s.stillUsable(f, op)
		if err != nil {
			s.end(f)
			return nil, err
		}
		op.key, op.guarded, op.epoch = now, now.object.Guarded(), epoch
	}
	if op.contextLogin {
		s.end(f)
		return nil, cryptoki.Errorf(cryptoki.CKR_USER_NOT_LOGGED_IN, "the key wants a context-specific login before each operation")
	}
	if op.guarded {
		if err := s.authorized(op.key); err != nil {
			s.end(f)
			return nil, err
		}
	}
	return op, nil
}

// stillUsable finds an operation's key again, and checks that the partition still offers the
// mechanism and allows the key for it.
func (s *Session) stillUsable(f mech.Function, op *operation) (*resident, error) {
	r, err := s.object(op.key.handle)
	if err != nil {
		return nil, keyError(err)
	}
	offer, err := s.partition.offer(op.mechanism.Type, flagOf[f])
	if err != nil {
		return nil, err
	}
	return r, s.partition.mayUse(offer, flagOf[f], r)
}

// end forgets the operation of function f. s.mu is held.
func (s *Session) end(f mech.Function) {
	if op := s.operations[f]; op != nil {
		if op.Operation != nil {
			op.Close()
		}
		clear(op.pending)
		s.member.held.Add(-int64(op.held))
		s.operations[f] = nil
	}
}

// Operate is C_Encrypt, C_Decrypt, C_Digest, C_Sign, C_Verify, C_SignRecover or
// C_VerifyRecover, whose signature is the data, on the active operation. capacity is the caller's room in bytes, or AskLength; when the
// output does not fit the operation stays active, else it ends.
func (s *Session) Operate(f mech.Function, data, signature []byte, capacity uint64) (Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.operate(f, data, signature, capacity)
}

// OperateFused is Init and Operate in one.
func (s *Session) OperateFused(f mech.Function, m *cryptoki.Mechanism, key cryptoki.ObjectHandle, data, signature []byte, capacity uint64) (Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.init(f, m, key); err != nil {
		return Output{}, err
	}
	return s.operate(f, data, signature, capacity)
}

func (s *Session) operate(f mech.Function, data, signature []byte, capacity uint64) (Output, error) {
	op, err := s.active(f)
	if err != nil {
		return Output{}, err
	}
	if op.parts {
		s.end(f)
		return Output{}, cryptoki.Errorf(cryptoki.CKR_OPERATION_ACTIVE, "the operation already works in parts")
	}
	if n, exact := exactLength(op.Rule(), len(data)); exact && f != mech.Verify && n > capacityOf(capacity) {
		return Output{Length: n}, nil
	}
	output, err := op.Once(data, signature)
	return s.deliver(f, output, err, capacity, true)
}

// exactLength is the length of a one-part output by its rule, if the rule tells it
// exactly.
func exactLength(r mech.Rule, n int) (length uint64, exact bool) {
	in := uint64(n)
	switch r.Kind {
	case mech.RuleFixed:
		return r.Length, true
	case mech.RuleLonger:
		return in + r.Length, true
	case mech.RuleShorter:
		return in - min(in, r.Length), true
	case mech.RulePadded:
		return (in/r.Length + 1) * r.Length, true
	}
	return 0, false
}

// deliver hands an output out, or measures it against the caller's room; last
// says that the operation ends with it. What it hands out is in the audit log, if it is to
// be.
func (s *Session) deliver(f mech.Function, output []byte, err error, capacity uint64, last bool) (Output, error) {
	if err != nil {
		if logged := s.logOperation(f, err); logged != nil {
			err = logged
		}
		s.end(f)
		return Output{}, err
	}
	n := uint64(len(output))
	fits := n <= capacityOf(capacity) && (capacity != AskLength || f == mech.Verify)
	// What was decrypted tells of itself, and of its padding, by its length.
	if fits && (last || n > 0) || !fits && f == mech.Decrypt {
		if err := s.logOperation(f, nil); err != nil {
			clear(output)
			s.end(f)
			return Output{}, err
		}
	}
	if !fits {
		clear(output)
		return Output{Length: n}, nil
	}
	if last {
		s.served(s.operations[f].approved)
	}
	if len(output) > MaxOutput {
		s.operations[f].pending, s.operations[f].ending = output[MaxOutput:], last
		return Output{Data: output[:MaxOutput], Length: n, Fits: true}, nil
	}
	if last {
		s.end(f)
	}
	return Output{Data: output, Length: n, Fits: true}, nil
}

// MaxOutput is the most output that one reply carries, in bytes; the rest waits
// for Drain. A frame holds 1 MiB with its header and field lengths.
const MaxOutput = 1<<20 - 4096

// capacityOf turns a question for the length into no room at all.
func capacityOf(capacity uint64) uint64 {
	if capacity == AskLength {
		return 0
	}
	return capacity
}

// Update is C_EncryptUpdate and its siblings.
func (s *Session) Update(f mech.Function, part []byte, capacity uint64) (Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op, err := s.inParts(f)
	if err != nil {
		return Output{}, err
	}
	if n := uint64(op.UpdateLength(len(part))); capacity == AskLength || n > capacity {
		return Output{Length: n}, nil
	}
	output, err := s.feed(op, part)
	return s.deliver(f, output, err, capacity, false)
}

// inParts is active for an operation that is to work in several parts. Error besides:
// CKR_FUNCTION_NOT_SUPPORTED.
func (s *Session) inParts(f mech.Function) (*operation, error) {
	op, err := s.active(f)
	if err == nil && !op.mechanism.MultiPart {
		err = cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "%v works in one part only", op.mechanism.Type)
		s.end(f)
	}
	return op, err
}

// feed gives an operation its next part and returns what that yields. Errors are those of
// hold and of mech.Operation.
func (s *Session) feed(op *operation, part []byte) ([]byte, error) {
	op.parts = true
	if op.mechanism.Collects {
		if err := s.hold(op, uint64(len(part))); err != nil {
			return nil, err
		}
	}
	return op.Operation.Update(part)
}

// maxHeld bounds what one application's operations in one partition may keep of its
// data at the same time, in bytes: one application must not take the memory of all.
const maxHeld = 64 << 20

// hold counts n more bytes that an operation keeps. Error: CKR_DEVICE_MEMORY.
func (s *Session) hold(op *operation, n uint64) error {
	if s.member.held.Add(int64(n)) > maxHeld {
		s.member.held.Add(-int64(n))
		return cryptoki.Errorf(cryptoki.CKR_DEVICE_MEMORY, "the application's operations would hold more than %d bytes", maxHeld)
	}
	op.held += n
	return nil
}

// Final is C_EncryptFinal and its siblings.
func (s *Session) Final(f mech.Function, signature []byte, capacity uint64) (Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op, err := s.inParts(f)
	if err != nil {
		return Output{}, err
	}
	output, err := op.Operation.Final(signature)
	return s.deliver(f, output, err, capacity, true)
}

// Drain returns the next piece of an output that was larger than a frame, with
// the length that was left before it.
func (s *Session) Drain(f mech.Function) (Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(f) >= len(s.operations) || s.operations[f] == nil || len(s.operations[f].pending) == 0 {
		return Output{}, cryptoki.CKR_OPERATION_NOT_INITIALIZED
	}
	op := s.operations[f]
	out := Output{Data: op.pending, Length: uint64(len(op.pending)), Fits: true}
	if len(op.pending) > MaxOutput {
		out.Data, op.pending = op.pending[:MaxOutput], op.pending[MaxOutput:]
		return out, nil
	}
	op.pending = nil
	if op.ending {
		s.end(f)
	}
	return out, nil
}

// Cancel is C_SessionCancel for one function; there need be no operation.
func (s *Session) Cancel(f mech.Function) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(f) < len(s.operations) {
		s.end(f)
	}
}
