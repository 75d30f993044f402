package seal

import "testing"

// Records of the formats at rest, as the first version wrote them: they open for
// ever.
func TestFormats(t *testing.T) {
	const record = "01781924e4dceff779c4ab0444bf30a086ee205c9da4bace51932fd94cb61914c965096c13a6"
	const hsmKey = "010201020100000001000000400173616c7473616c7473616c7473616c740340071c5bfa7645" +
		"f3053c603ef4f7d9b161eec44b8b330766788c4b0757bebe01e2769b09f01456a5cd771b1397" +
		"fd7978a9f6899d191f75734292b0aecb67eb4f03390c7d7b788e8444fbe6e049dc3168de53cd" +
		"757253b1d301b58932"
	const partPub = "018de11dcc037611b4c9e62e7d5e767a8d1035c48a1b66a5dcb4ee3ff14da9297b812b37c7d2" +
		"acc526025436521bea3d8b816167a9a2b5a32651433059"
	const wrap = "010000000000000001000000000000000301020100000001000000400173616c7473616c7473" +
		"616c7473616c74371e8ae0e4ee7e7b362de21cd5b3a320f1ee31da1dbd3b4cce06068401f892" +
		"7e01c86777571ea694787dd565068a5a13dff5947377222e1fbfbf6dbad6fae65328427dff08" +
		"ebceecd21bde3a0747889924ebb2968773fa54523876b05f"

	d := DerivationKey{counting()}
	plaintext, err := d.Key(NewContext("records")).Open(nil, unhex(t, record), NewContext("test").Uint64(1))
	if err != nil || string(plaintext) != "plaintext" {
		t.Errorf("the record opens to %q, %v", plaintext, err)
	}

	factors, err := RootFactors(unhex(t, hsmKey))
	if err != nil {
		t.Fatal(err)
	}
	h, err := mustRoot(t, factors, counting(), password("correct horse")).OpenHSMKey(unhex(t, hsmKey))
	if err != nil || !h.raw.Equal(d.raw) {
		t.Errorf("the HSM's key opens to another key, %v", err)
	}

	p, err := (&HSMKey{d}).OpenPartPub(7, unhex(t, partPub))
	if err != nil || !p.raw.Equal(d.raw) {
		t.Errorf("the PartPub opens to another key, %v", err)
	}

	w, err := ParseWrap(unhex(t, wrap))
	if err != nil {
		t.Fatal(err)
	}
	kek, err := NewStretcher(true).Open(w, officer.Partition, password("1234"))
	if err != nil || !kek.raw.Equal(d.raw) || w.Role != officer.Role || w.Epoch != officer.Epoch {
		t.Errorf("the wrap opens to another key, %v", err)
	}
}
