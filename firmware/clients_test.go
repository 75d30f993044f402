package firmware

import (
	"slices"
	"testing"
)

func TestClients(t *testing.T) {
	if !slices.IsSortedFunc(Clients, Level.Compare) {
		t.Errorf("the clients are not in order: %v", Clients)
	}
	for _, f := range ClientFeatures() {
		if f.Feature == "" || f.About == "" {
			t.Errorf("%v says nothing of itself", f)
		}
		for _, end := range []Level{f.From, f.To} {
			if end != (Level{}) && end != last && !slices.Contains(Clients, end) {
				t.Errorf("%s changes at client %v, which is not in the list", f.Feature, end)
			}
		}
	}
	for _, test := range []struct {
		client  string
		feature Feature
		has     bool
	}{
		{"10.2.0", PartitionVersions, false}, {"10.3.0", PartitionVersions, true},
		{"10.2.0", OldSecureChannel, true}, {"10.3.0", OldSecureChannel, false},
		{"10.4.0", CloningProtocol4, false}, {"10.5.0", CloningProtocol4, true},
		{"10.5.0", PEDCheck, false},
	} {
		if ClientHas(level(t, test.client), test.feature) != test.has {
			t.Errorf("client %s has %q: %v", test.client, test.feature, !test.has)
		}
	}
	for _, c := range Clients {
		if again, err := ParseClient(ClientNumber(c)); err != nil || again != c {
			t.Errorf("%v is announced as %d", c, ClientNumber(c))
		}
	}
	if ClientSince(PartitionVersions) != client103 || Since(PartitionVersions) != versions {
		t.Errorf("partition versions came with client %v and firmware %v", ClientSince(PartitionVersions), Since(PartitionVersions))
	}
	if !KnowsVersions(NewestClient) {
		t.Error("our clients do not know partition versions")
	}
}
