package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeTables makes a root with the given files in its table directory.
func writeTables(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "cryptoki", "table")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTableErrors(t *testing.T) {
	const (
		attributes = "name,value,kind,origin\n# a comment, with a comma\n"
		returns    = "name,value,origin\n"
		functions  = "name,since,position,arguments\n"
	)
	attributesOf := func(root string) error { _, err := attributesGo(root); return err }
	returnsOf := func(root string) error { _, err := returnsGo(root); return err }
	functionsOf := func(root string) error { _, err := readFunctions(root); return err }
	typesOf := func(root string) error { _, err := readTypes(root); return err }
	tests := []struct {
		name, file, text string
		read             func(root string) error
		want             string
	}{
		{"columns", "returns.csv", "name,number,origin\n", returnsOf, `want ["name" "value" "origin"]`},
		{"fields", "returns.csv", returns + "CKR_OK,0x0\n", returnsOf, "wrong number of fields"},
		{"name", "returns.csv", returns + "CKR OK,0x0,3.2\n", returnsOf, `returns.csv:2: "CKR OK" is no constant's name`},
		{"value", "returns.csv", returns + "CKR_OK,zero,3.2\n", returnsOf, "returns.csv:2: CKR_OK: "},
		{"origin", "returns.csv", returns + "CKR_OK,0x0,2.1\n", returnsOf, `the origin is "2.1"`},
		{"twice", "returns.csv", returns + "CKR_OK,0x0,3.2\nCKR_OK,0x1,3.2\n", returnsOf, "returns.csv:3: CKR_OK is in line 2 already"},
		{"kind", "attributes.csv", attributes + "CKA_ID,0x102,byte,3.2\n", attributesOf, `attributes.csv:3: the kind is "byte"`},
		{"classes", "attributes.csv", attributes + "CKA_ID,0x102,bytes,3.2\nCKA_NAME,0x102,utf8,3.2\n", attributesOf,
			"attributes.csv:4: CKA_NAME is utf8, but CKA_ID of the same number is bytes"},
		{"position", "functions.csv", functions + "C_Sign,2.40,2,CK_ULONG n\n", functionsOf, "functions.csv:2: C_Sign: the position is 2, want 1"},
		{"version", "functions.csv", functions + "C_Sign,3.0,1,CK_ULONG n\nC_Verify,2.40,2,CK_ULONG n\n", functionsOf,
			`functions.csv:3: C_Verify: version "2.40" is unknown or out of order`},
		{"argument", "functions.csv", functions + "C_Sign,2.40,1,n\n", functionsOf, `"n" is not a type and a name`},
		{"member", "types.txt", "struct CK_A\n  CK_B b\n", typesOf, "types.txt: line 2: type CK_B is not known here"},
		{"member without struct", "types.txt", "  CK_ULONG n\n", typesOf, "line 1: a member before the first struct"},
		{"recursion", "types.txt", "struct CK_A\n  CK_A a\n", typesOf, "line 2: type CK_A is not known here"},
		{"type twice", "types.txt", "ulong CK_A\nulong CK_A\n", typesOf, `line 2: "CK_A" is no name for a type, or taken`},
		{"word", "types.txt", "union CK_A\n", typesOf, `line 1: unknown word "union"`},
		{"callback", "types.txt", "callback CK_A\n", typesOf, "line 1: a callback has arguments"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.read(writeTables(t, map[string]string{test.file: test.text}))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestErrorWritesNothing breaks the last table that is read.
func TestErrorWritesNothing(t *testing.T) {
	root := writeTables(t, map[string]string{"returns.csv": "name,value,origin\nCKR_OK,0x0,3.2\n"})
	if err := run(root); err == nil {
		t.Fatal("the tables are incomplete, but there is no error")
	}
	entries, err := os.ReadDir(filepath.Join(root, "cryptoki"))
	if err != nil || len(entries) != 1 {
		t.Errorf("files were written: %v, %v", entries, err)
	}
}

// TestRanges checks the numbers as a whole: a vendor number lies in the range that
// the standard keeps for vendors or in the old one below 0x9000 that client
// libraries still know, a standard one outside of both; and in one table no two
// numbers of one origin have the same name, nor two standard names one number
// unless the standard itself says so.
func TestRanges(t *testing.T) {
	aliases := map[string]string{
		"CKA_SUB_PRIME_BITS":                 "CKA_SUBPRIME_BITS",
		"CKA_ECDSA_PARAMS":                   "CKA_EC_PARAMS",
		"CKM_CAST5_KEY_GEN":                  "CKM_CAST128_KEY_GEN",
		"CKM_CAST5_ECB":                      "CKM_CAST128_ECB",
		"CKM_CAST5_CBC":                      "CKM_CAST128_CBC",
		"CKM_CAST5_MAC":                      "CKM_CAST128_MAC",
		"CKM_CAST5_MAC_GENERAL":              "CKM_CAST128_MAC_GENERAL",
		"CKM_CAST5_CBC_PAD":                  "CKM_CAST128_CBC_PAD",
		"CKM_PBE_MD5_CAST5_CBC":              "CKM_PBE_MD5_CAST128_CBC",
		"CKM_PBE_SHA1_CAST5_CBC":             "CKM_PBE_SHA1_CAST128_CBC",
		"CKM_SHA3_224_KEY_DERIVE":            "CKM_SHA3_224_KEY_DERIVATION",
		"CKM_SHA3_256_KEY_DERIVE":            "CKM_SHA3_256_KEY_DERIVATION",
		"CKM_SHA3_384_KEY_DERIVE":            "CKM_SHA3_384_KEY_DERIVATION",
		"CKM_SHA3_512_KEY_DERIVE":            "CKM_SHA3_512_KEY_DERIVATION",
		"CKM_SHAKE_128_KEY_DERIVE":           "CKM_SHAKE_128_KEY_DERIVATION",
		"CKM_SHAKE_256_KEY_DERIVE":           "CKM_SHAKE_256_KEY_DERIVATION",
		"CKM_ECDSA_KEY_PAIR_GEN":             "CKM_EC_KEY_PAIR_GEN",
		"CKM_DSA_PROBABLISTIC_PARAMETER_GEN": "CKM_DSA_PROBABILISTIC_PARAMETER_GEN",
		"CKM_VENDOR_DEFINED_OLD_XXX":         "CKM_CAST_KEY_GEN_OLD_XXX",
		"CKR_STM_CMD_NON_TRANSPORT":          "CKR_CMD_NOT_ALLOWED_HSM_IN_TRANSPORT",
		"CKK_ECDSA":                          "CKK_EC",
		"CKK_CAST5":                          "CKK_CAST128",
	}
	groups, err := readGroups(repository)
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := readAttributes(repository)
	if err != nil {
		t.Fatal(err)
	}
	mechanisms, err := readMechanisms(repository)
	if err != nil {
		t.Fatal(err)
	}
	returns, err := readReturns(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range [][]constant{attributes, mechanisms, returns, groups["class"], groups["keytype"]} {
		names := map[uint64]string{}
		for _, c := range table {
			vendor := c.value > 1<<31 || c.value >= 0x8000 && c.value < 0x9000
			if c.vendor != vendor {
				t.Errorf("%s: %#x does not fit its origin", c.name, c.value)
			}
			if first, taken := names[c.value]; !taken {
				names[c.value] = c.name
			} else if aliases[c.name] != first {
				t.Errorf("%s and %s are both %#x", first, c.name, c.value)
			}
		}
	}
}
