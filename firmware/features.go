package firmware

import (
	_ "embed"
	"slices"
	"sync"
)

// A Feature is something that a span of levels can do.
type Feature string

// Features of the HSM's firmware, as in features.csv.
const (
	PolicyTemplates       Feature = "policy templates"
	UtilizationMetrics    Feature = "utilization metrics"
	OldSecureChannel      Feature = "old secure channel"
	PartitionVersions     Feature = "partition versions"
	ScalableKeyStorage    Feature = "scalable key storage"
	PerKeyAuthorization   Feature = "per-key authorization"
	SecureChannel         Feature = "secure channel"
	PEDCheck              Feature = "PED check"
	TripleDESCounter      Feature = "3DES counter"
	PartitionFIPS         Feature = "partition FIPS"
	Protocol1Only         Feature = "protocol 1 only"
	CloningProtocol4      Feature = "cloning protocol 4"
	SeveralDomains        Feature = "several domains"
	PINChangeEndsSessions Feature = "PIN change ends sessions"
	EmptyHMAC             Feature = "empty HMAC"
	PrehashPolicy         Feature = "prehash policy"
)

// A FeatureSpan tells which levels have a feature. A zero From is the oldest level; To
// is the newest that has it.
type FeatureSpan struct {
	Feature Feature
	Span
	About string
}

//go:embed features.csv
var featureText []byte

var (
	featureColumns = []string{"feature", "from", "to", "about"}

	featureTable = sync.OnceValue(func() []FeatureSpan { return mustTable("features.csv", featureText, featureColumns, parseFeature) })
)

func parseFeature(f []string) (FeatureSpan, error) {
	span, err := ParseSpan(f[1], f[2])
	return FeatureSpan{Feature(f[0]), span, f[3]}, err
}

// Features are what levels of the HSM's firmware can do, in the order in which it came.
func Features() []FeatureSpan { return slices.Clone(featureTable()) }

// Has tells whether the level has a feature.
func (l Level) Has(f Feature) bool { return has(featureTable(), l, f) }

// Since is the oldest level that has a feature.
func Since(f Feature) Level { return since(featureTable(), f) }

func since(table []FeatureSpan, f Feature) Level {
	for _, span := range table {
		if span.Feature == f {
			return span.From
		}
	}
	return last
}

func has(table []FeatureSpan, l Level, f Feature) bool {
	for _, span := range table {
		if span.Feature == f {
			return span.Holds(l)
		}
	}
	return false
}
