package policy

import (
	"fmt"
	"maps"
	"slices"
)

// Policies of a partition that the rules speak of.
const (
	PrivateCloning   ID = 0
	PrivateWrapping  ID = 1
	PrivateMasking   ID = 3
	SecretCloning    ID = 4
	SecretMasking    ID = 7
	Activation       ID = 22
	AutoActivation   ID = 23
	PrivateUnmasking ID = 31
	SecretUnmasking  ID = 32
	PerKeyAuth       ID = 40
	Version          ID = 41
	NonFIPS          ID = 43
	Prehash          ID = 45
)

// Policies of the HSM that cap those of partitions.
const (
	HSMMasking   ID = 6
	HSMCloning   ID = 7
	HSMNonFIPS   ID = 12
	HSMUnmasking ID = 30
)

// caps names for a partition policy the HSM policy without which it stays 0.
var caps = map[ID]ID{
	PrivateCloning:   HSMCloning,
	SecretCloning:    HSMCloning,
	PrivateMasking:   HSMMasking,
	SecretMasking:    HSMMasking,
	PrivateUnmasking: HSMUnmasking,
	SecretUnmasking:  HSMUnmasking,
	NonFIPS:          HSMNonFIPS,
}

// capped tells whether a partition policy must be 0 under the HSM's policies.
func capped(id ID, above Set) bool {
	ceiling, has := caps[id]
	return has && above.Has(ceiling) && !above.On(ceiling)
}

// follow are the policies that always have the value of the partition version.
var follow = [...]ID{PrivateMasking, SecretMasking, PrivateUnmasking, SecretUnmasking}

func moved(id ID) bool { return slices.Contains(follow[:], id) }

// A rule is one condition on a partition's values and the HSM's.
type rule struct {
	ids   []ID // the policies it speaks of
	text  string
	holds func(s, above Set) bool
}

// longest is what the minimum PIN length is subtracted from.
const longest = 255

var partitionRules = rules()

func rules() []rule {
	all := []rule{
		{[]ID{PrivateCloning, PrivateWrapping}, "policies 0 and 1 cannot both be on: keys are either cloned or exported", func(s, _ Set) bool {
			return !s.On(PrivateCloning) || !s.On(PrivateWrapping)
		}},
		{[]ID{PerKeyAuth, Version}, "policy 40 can be on only while policy 41 is 1", func(s, _ Set) bool {
			return !s.On(PerKeyAuth) || s.On(Version)
		}},
		{[]ID{Activation, AutoActivation}, "policy 23 can be on only while policy 22 is", func(s, _ Set) bool {
			return !s.On(AutoActivation) || s.On(Activation)
		}},
		{[]ID{MinPIN, MaxPIN}, "the minimum PIN length (255 less policy 25) is above the maximum (policy 26)", func(s, _ Set) bool {
			return !s.Has(MinPIN) || !s.Has(MaxPIN) || longest-s.Value(MinPIN) <= s.Value(MaxPIN)
		}},
	}
	for _, id := range follow {
		all = append(all, rule{
			[]ID{id, Version},
			fmt.Sprintf("policy %d always has the value of policy 41", id),
			func(s, _ Set) bool { return !s.Has(Version) || s.Value(id) == s.Value(Version) },
		})
	}
	for _, id := range slices.Sorted(maps.Keys(caps)) {
		all = append(all, rule{
			[]ID{id},
			fmt.Sprintf("policy %d needs HSM policy %d", id, caps[id]),
			func(s, above Set) bool { return !s.On(id) || !capped(id, above) },
		})
	}
	return all
}
