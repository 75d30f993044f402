package firmware

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tidelock.dev/tidelock/cryptoki"
)

//go:embed clients.csv
var clientText []byte

var clientTable = sync.OnceValue(func() []FeatureSpan { return mustTable("clients.csv", clientText, featureColumns, parseFeature) })

// Clients are the levels of the client's software at which something changes, the
// oldest first.
var Clients = []Level{{7, 2, 0}, {10, 1, 0}, {10, 2, 0}, {10, 3, 0}, {10, 4, 0}, {10, 5, 0}}

// NewestClient is the level of the clients that are built here.
var NewestClient = Clients[len(Clients)-1]

// ParseClient reads a client's level from its number, major * 10000 + minor * 100 + patch;
// 0 is the newest. Error: CKR_ARGUMENTS_BAD.
func ParseClient(n uint32) (Level, error) {
	if n == 0 {
		return NewestClient, nil
	}
	if n/10000 > 255 {
		return Level{}, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "%d is no client level: it is major * 10000 + minor * 100 + patch", n)
	}
	return Level{uint8(n / 10000), uint8(n / 100 % 100), uint8(n % 100)}, nil
}

// ClientNumber is a client's level as ParseClient reads it.
func ClientNumber(client Level) uint32 {
	return uint32(client.Major)*10000 + uint32(client.Minor)*100 + uint32(client.Patch)
}

// ParseClientLevel reads a client's level as people write it: major.minor or
// major.minor.patch, of numbers below 100. What a client does that is newer than these
// tables nobody can say.
func ParseClientLevel(text string) (Level, error) {
	full := text
	if strings.Count(text, ".") == 1 {
		full += ".0"
	}
	l, err := Parse(full)
	if err != nil || l.String() != full || l.Major == 0 || max(l.Major, l.Minor, l.Patch) > 99 {
		return Level{}, fmt.Errorf("%q is no client level: it is major.minor or major.minor.patch, such as 10.2", text)
	}
	if l.Compare(NewestClient) > 0 {
		return Level{}, fmt.Errorf("level %v is newer than this client, %v", l, NewestClient)
	}
	return l, nil
}

// ClientSince is the level of the client from which it has a feature.
func ClientSince(f Feature) Level { return since(clientTable(), f) }

// ClientFeatures are what levels of the client's software can do.
func ClientFeatures() []FeatureSpan { return slices.Clone(clientTable()) }

// ClientHas tells whether a client has a feature.
func ClientHas(client Level, f Feature) bool { return has(clientTable(), client, f) }

// KnowsVersions tells whether a client knows partition versions, and with them
// policies 40 and 41.
func KnowsVersions(client Level) bool { return ClientHas(client, PartitionVersions) }
