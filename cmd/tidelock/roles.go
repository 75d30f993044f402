package main

import (
	"strings"

	"tidelock.dev/tidelock/cryptoki"
)

// role is a role as the command line names it.
type role struct {
	name  string
	title string
	user  cryptoki.UserType
	ofHSM bool // logs in at the administration's slot
}

// The roles.
var (
	roleSO      = role{"so", "HSM SO", cryptoki.CKU_SO, true}
	roleAuditor = role{"auditor", "Auditor", cryptoki.CKU_AUDIT, true}
	rolePO      = role{"po", "Partition SO", cryptoki.CKU_SO, false}
	roleCO      = role{"co", "Crypto Officer", cryptoki.CKU_USER, false}
	roleLCO     = role{"lco", "Limited Crypto Officer", cryptoki.CKU_LIMITED_CRYPTO_OFFICER, false}
	roleCU      = role{"cu", "Crypto User", cryptoki.CKU_CRYPTO_USER, false}
)

var roles = []role{roleSO, roleAuditor, rolePO, roleCO, roleLCO, roleCU}

// partitionRoles are those of a partition; only one of version 1 has the Limited Crypto
// Officer.
var partitionRoles = []role{rolePO, roleCO, roleLCO, roleCU}

// String names the role for people.
func (r role) String() string { return r.title }

// parseRole reads a role's name.
func parseRole(name string, among ...role) (role, error) {
	names := make([]string, len(among))
	for i, r := range among {
		if r.name == name {
			return r, nil
		}
		names[i] = r.name + " (" + r.title + ")"
	}
	return role{}, wrongUse("%q is no role for this: it is one of %s", name, strings.Join(names, ", "))
}

// roleNames are the names for completion.
func roleNames(among ...role) []string {
	names := make([]string, len(among))
	for i, r := range among {
		names[i] = r.name + "\t" + r.title
	}
	return names
}
