package cryptoki

import (
	"cmp"
	"slices"
	"testing"
)

// checkNames checks a table of names: it is in order, every name is read back as
// its value, and every value is printed as the first of its names.
func checkNames[T ~uint32 | ~uint64](t *testing.T, table names[T], parse func(string) (T, error)) {
	t.Helper()
	if !slices.IsSortedFunc(table, func(a, b named[T]) int { return cmp.Compare(a.value, b.value) }) {
		t.Error("the table is not ordered by value")
	}
	first := map[T]string{}
	seen := map[string]bool{}
	for _, n := range table {
		if seen[n.name] {
			t.Errorf("%s occurs twice", n.name)
		}
		seen[n.name] = true
		if _, ok := first[n.value]; !ok {
			first[n.value] = n.name
		}
		if v, err := parse(n.name); err != nil || v != n.value {
			t.Errorf("parse(%s) = %#x, %v; want %#x", n.name, uint64(v), err, uint64(n.value))
		}
	}
	for value, name := range first {
		if got := table.of(value); got != name {
			t.Errorf("the name of %#x is %s, want %s", uint64(value), got, name)
		}
	}
}

func TestNames(t *testing.T) {
	t.Run("RV", func(t *testing.T) { checkNames(t, returnNames, ParseRV) })
	t.Run("AttributeType", func(t *testing.T) { checkNames(t, attributeNames, ParseAttributeType) })
	t.Run("MechanismType", func(t *testing.T) { checkNames(t, mechanismNames, ParseMechanismType) })
	t.Run("ObjectClass", func(t *testing.T) { checkNames(t, classNames, ParseObjectClass) })
	t.Run("KeyType", func(t *testing.T) { checkNames(t, keyTypeNames, ParseKeyType) })
	t.Run("UserType", func(t *testing.T) { checkNames(t, userNames, ParseUserType) })
}

// TestString holds the tables against numbers written down a second time, from
// the text of the standard.
func TestString(t *testing.T) {
	tests := []struct {
		got, want string
	}{
		{RV(0).String(), "CKR_OK"},
		{RV(0x150).String(), "CKR_BUFFER_TOO_SMALL"},
		{RV(0x209).String(), "CKR_PARAMETER_SET_NOT_SUPPORTED"},
		{RV(0x80000097).String(), "CKR_KEY_NOT_AUTHORIZED"},
		{RV(0x7fffffff).String(), "0x7FFFFFFF"},
		{AttributeType(0x162).String(), "CKA_EXTRACTABLE"},
		{AttributeType(0x40000211).String(), "CKA_WRAP_TEMPLATE"},
		{AttributeType(0x637).String(), "CKA_SEED"},
		{AttributeType(0x180).String(), "CKA_EC_PARAMS"},
		{AttributeType(0x134).String(), "CKA_SUBPRIME_BITS"},
		{AttributeType(1<<63 | 1).String(), "0x8000000000000001"},
		{MechanismType(0x1087).String(), "CKM_AES_GCM"},
		{MechanismType(0x8000011c).String(), "CKM_AES_GCM_VENDOR"},
		{MechanismType(0x1040).String(), "CKM_EC_KEY_PAIR_GEN"},
		{MechanismType(0x397).String(), "CKM_SHA3_256_KEY_DERIVATION"},
		{MechanismType(0x403a).String(), "CKM_PUB_KEY_FROM_PRIV_KEY"},
		{ObjectClass(4).String(), "CKO_SECRET_KEY"},
		{KeyType(3).String(), "CKK_EC"},
		{KeyType(0x4a).String(), "CKK_ML_DSA"},
		{UserType(1).String(), "CKU_USER"},
		{UserType(0x80000003).String(), "CKU_LIMITED_CRYPTO_OFFICER"},
		{SessionState(3).String(), "CKS_RW_USER_FUNCTIONS"},
		{MGF(2).String(), "CKG_MGF1_SHA256"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
	}
}

func TestParse(t *testing.T) {
	if v, err := ParseKeyType("CKK_ECDSA"); err != nil || v != CKK_EC {
		t.Errorf("a further name: %v, %v", v, err)
	}
	if v, err := ParseMechanismType("0x8000011C"); err != nil || v != 0x8000011c {
		t.Errorf("a number: %v, %v", v, err)
	}
	for _, s := range []string{"", "CKR_", "CKA_LABEL", "ckr_ok", "-1", "0x100000000"} {
		if v, err := ParseRV(s); err == nil {
			t.Errorf("ParseRV(%q) = %v, want an error", s, v)
		}
	}
}

func BenchmarkString(b *testing.B) {
	for b.Loop() {
		_ = CKM_ECDSA_SHA256.String()
	}
}
