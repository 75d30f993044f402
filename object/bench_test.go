package object

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

// A search without an index parses the metadata of every object.
func BenchmarkParse(b *testing.B) {
	metadata := create(b, with(samples["rsa private"], cryptoki.CKA_LABEL, "label", cryptoki.CKA_ID, odd(20))).Metadata()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(metadata, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatches(b *testing.B) {
	o := create(b, with(samples["rsa private"], cryptoki.CKA_LABEL, "label"))
	search := attributes(cryptoki.CKA_CLASS, cryptoki.CKO_PRIVATE_KEY, cryptoki.CKA_LABEL, "label")
	b.ReportAllocs()
	for b.Loop() {
		if !o.Matches(search) {
			b.Fatal("no match")
		}
	}
}
