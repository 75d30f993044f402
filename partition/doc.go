// Package partition is one partition of the HSM: its roles, its objects, the
// sessions that applications have open on it and the operations under way in
// them. It follows docs/check-order.md.
//
// It may import cryptoki, firmware, mech, object, seal, keystore and
// internal/secret; it does no I/O of its own.
//
// Locks, from the outside in; whoever holds one may take those below it:
//
//	Session.mu     one operation or find step of the session; held over the
//	               session's own cryptography, which nobody else waits for
//	roles          one login attempt of the role, over its durable counter and
//	               the key derivation: a guess must not overtake the count
//	Member.mu      the application's session objects and open sessions
//	Partition.mu   the set of members and the count of logins
//	cache.mu       the resident objects
//
// No lock that two sessions share is held over cryptography with a user's key.
package partition
