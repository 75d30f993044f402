package partition

import (
	"slices"
	"time"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/policy"
)

// Kind tells what a partition is for. The numbers are stored.
type Kind uint8

const (
	// Application is a partition that applications keep keys in.
	Application Kind = 1
	// Administration is where the HSM SO and the Auditor log in. It holds no objects.
	Administration Kind = 2
)

// AdministrationID is the number of an HSM's administration. Those of other partitions
// begin above it.
const AdministrationID ID = 0

// Role is who an application is logged in as. The numbers are stored.
type Role uint8

// The roles.
const (
	RoleNone                 Role = 0
	RolePartitionSO          Role = 1
	RoleCryptoOfficer        Role = 2
	RoleLimitedCryptoOfficer Role = 3
	RoleCryptoUser           Role = 4
	RoleHSMSO                Role = 5
	RoleAuditor              Role = 6
)

// roleRule is what holds for whoever has a role.
type roleRule struct {
	name  string
	kind  Kind
	user  cryptoki.UserType
	audit audit.Role
	// limit is how many wrong PINs in a row the role bears; 0 is partition policy 20.
	limit uint64
	// costs says that reaching the limit costs more than the role itself: Config.Lost.
	costs bool
	// pause is how long reaching the limit locks the role; 0 is for good.
	pause time.Duration
	// private says that the role has a wrap of PartKEK, and sees private objects.
	private bool
	// writes says that the role makes, changes and destroys token objects, publishes that
	// it makes public ones.
	writes, publishes bool
	// maker is the role that makes this one, RoleNone one that makes itself.
	maker Role
	// versioned says that only a partition of version 1 has the role.
	versioned bool
}

// auditorPause is how long an Auditor who was wrong too often waits.
const auditorPause = 10 * time.Minute

var roleRules = map[Role]roleRule{
	RolePartitionSO: {
		name: "Partition SO", kind: Application, user: cryptoki.CKU_SO, audit: audit.RolePartitionSO, limit: 10, costs: true,
	},
	RoleCryptoOfficer: {
		name: "Crypto Officer", kind: Application, user: cryptoki.CKU_USER, audit: audit.RoleCryptoOfficer,
		private: true, writes: true, publishes: true, maker: RolePartitionSO,
	},
	RoleLimitedCryptoOfficer: {
		name: "Limited Crypto Officer", kind: Application, user: cryptoki.CKU_LIMITED_CRYPTO_OFFICER, audit: audit.RoleLimitedCryptoOfficer,
		private: true, writes: true, publishes: true, maker: RoleCryptoOfficer, versioned: true,
	},
	RoleCryptoUser: {
		name: "Crypto User", kind: Application, user: cryptoki.CKU_CRYPTO_USER, audit: audit.RoleCryptoUser,
		private: true, publishes: true, maker: RoleCryptoOfficer,
	},
	RoleHSMSO: {
		name: "HSM SO", kind: Administration, user: cryptoki.CKU_SO, audit: audit.RoleHSMSO, limit: 3, costs: true,
	},
	RoleAuditor: {
		name: "Auditor", kind: Administration, user: cryptoki.CKU_AUDIT, audit: audit.RoleAuditor, limit: 3, pause: auditorPause,
	},
}

// String returns the name that operators know the role by.
func (r Role) String() string {
	if r == RoleNone {
		return "nobody"
	}
	return roleRules[r].name
}

// User is the CKU_ number of a role.
func (r Role) User() cryptoki.UserType { return roleRules[r].user }

// usesPrivate tells whether the role sees and uses private objects.
func (r Role) usesPrivate() bool { return roleRules[r].private }

// writes tells whether the role creates, changes and destroys token objects.
func (r Role) writes() bool { return roleRules[r].writes }

// publishes tells whether the role creates public token objects.
func (r Role) publishes() bool { return roleRules[r].publishes }

// officer tells whether the role is a token's SO, whose login PKCS#11 wants to be
// alone with read-write sessions.
func (r Role) officer() bool { return roleRules[r].user == cryptoki.CKU_SO && r != RoleNone }

// Roles are the roles of the partition's kind, in the order in which they are made.
func (p *Partition) Roles() []Role {
	if p.kind == Administration {
		return []Role{RoleHSMSO, RoleAuditor}
	}
	roles := []Role{RolePartitionSO, RoleCryptoOfficer, RoleLimitedCryptoOfficer, RoleCryptoUser}
	return slices.DeleteFunc(roles, func(r Role) bool { return !r.in(p.Version()) })
}

// in tells whether partitions of a version have the role.
func (r Role) in(version uint8) bool { return version > 0 || !roleRules[r].versioned }

// has tells whether the partition has the role, of which its version decides.
func (p *Partition) has(role Role) bool { return slices.Contains(p.Roles(), role) }

// RoleOf maps a CKU_ number to a role. Whether the role has a PIN is for the login to
// find out in its turn. Errors: CKR_USER_TYPE_INVALID;
// CKR_USER_PIN_NOT_INITIALIZED for the Limited Crypto Officer, whom only V1 partitions
// have.
func (p *Partition) RoleOf(u cryptoki.UserType) (Role, error) {
	for _, r := range p.Roles() {
		if r.User() == u {
			return r, nil
		}
	}
	if u == cryptoki.CKU_LIMITED_CRYPTO_OFFICER && p.kind == Application {
		return RoleNone, errVersion0
	}
	return RoleNone, cryptoki.Errorf(cryptoki.CKR_USER_TYPE_INVALID, "user type %#x", uint64(u))
}

var errVersion0 = cryptoki.Errorf(cryptoki.CKR_USER_PIN_NOT_INITIALIZED, "only a partition of version 1 has a Limited Crypto Officer")

// limit is how many wrong PINs in a row the role bears.
func (p *Partition) limit(role Role) uint64 { return role.limit(p.Identity().Policies) }

// limit is how many wrong PINs in a row the role bears under a partition's policies.
func (r Role) limit(policies policy.Set) uint64 {
	if n := roleRules[r].limit; n != 0 {
		return n
	}
	if n := policies.Value(policy.MaxFailedLogins); n != 0 {
		return n
	}
	return 10
}
