package cryptoki

import "testing"

func TestKind(t *testing.T) {
	tests := []struct {
		attribute AttributeType
		kind      AttributeKind
	}{
		{CKA_TOKEN, KindBool},
		{CKA_ENCAPSULATE, KindBool},
		{CKA_CLASS, KindULong},
		{CKA_PARAMETER_SET, KindULong},
		{CKA_VALUE_LEN, KindULong},
		{CKA_ID, KindBytes},
		{CKA_VALUE, KindBytes},
		{CKA_EC_PARAMS, KindBytes},
		{CKA_CHECK_VALUE, KindBytes},
		{CKA_VALIDATION_VERSION, KindBytes},
		{CKA_LABEL, KindUTF8},
		{CKA_START_DATE, KindDate},
		{CKA_MODULUS, KindBigInt},
		{CKA_PUBLIC_EXPONENT, KindBigInt},
		{CKA_ALLOWED_MECHANISMS, KindULongs},
		{CKA_UNWRAP_TEMPLATE, KindTemplate},
		{CKA_ASSIGNED, KindBool},
		{CKA_USAGE_LIMIT, KindULong},
		{CKA_AUTH_DATA, KindBytes},
		{CKA_VENDOR_DEFINED | 0x7654, KindUnknown},
	}
	for _, test := range tests {
		if got := test.attribute.Kind(); got != test.kind {
			t.Errorf("%v is of kind %d, want %d", test.attribute, got, test.kind)
		}
	}
}

// TestArrayBit holds the kinds against the bit by which the standard marks arrays
// in its own range of numbers.
func TestArrayBit(t *testing.T) {
	for _, n := range attributeNames {
		if n.value >= CKA_VENDOR_DEFINED {
			break
		}
		kind := n.value.Kind()
		if kind == KindUnknown {
			t.Errorf("%s has no kind", n.name)
		}
		marked := n.value&AttributeType(CKF_ARRAY_ATTRIBUTE) != 0
		array := kind == KindTemplate || kind == KindULongs
		// 3.2 left these two without the bit.
		if n.value == CKA_HSS_LMS_TYPES || n.value == CKA_HSS_LMOTS_TYPES {
			marked = true
		}
		if marked != array {
			t.Errorf("%s: array bit %t, kind %d", n.name, marked, kind)
		}
	}
}
