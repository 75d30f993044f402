package cryptoki

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"unsafe"
)

// names lists the names of a type's constants, ordered by value. Of several names
// for one value the first is the one to print.
type names[T ~uint32 | ~uint64] []named[T]

type named[T ~uint32 | ~uint64] struct {
	value T
	name  string
}

// of returns the name of v, or v in hexadecimal.
func (n names[T]) of(v T) string {
	i, known := slices.BinarySearchFunc(n, v, func(n named[T], v T) int { return cmp.Compare(n.value, v) })
	if !known {
		return fmt.Sprintf("0x%08X", uint64(v))
	}
	return n[i].name
}

// parse reads what of writes, and every further name. What is the type's name in
// an error message.
func (n names[T]) parse(what, s string) (T, error) {
	for i := range n {
		if n[i].name == s {
			return n[i].value, nil
		}
	}
	v, err := strconv.ParseUint(s, 0, int(unsafe.Sizeof(T(0)))*8)
	if err != nil {
		return 0, fmt.Errorf("%q is neither the name of a known %s nor its number", s, what)
	}
	return T(v), nil
}

// String returns the name of the code, CKR_..., or its number in hexadecimal.
func (rv RV) String() string { return returnNames.of(rv) }

// String returns the name of the type, CKA_..., or its number in hexadecimal.
func (t AttributeType) String() string { return attributeNames.of(t) }

// String returns the name of the type, CKM_..., or its number in hexadecimal.
func (t MechanismType) String() string { return mechanismNames.of(t) }

// String returns the name of the class, CKO_..., or its number in hexadecimal.
func (c ObjectClass) String() string { return classNames.of(c) }

// String returns the name of the type, CKK_..., or its number in hexadecimal.
func (t KeyType) String() string { return keyTypeNames.of(t) }

// String returns the name of the type, CKU_..., or its number in hexadecimal.
func (t UserType) String() string { return userNames.of(t) }

// String returns the name of the state, CKS_..., or its number in hexadecimal.
func (s SessionState) String() string { return stateNames.of(s) }

// String returns the name of the function, CKG_..., or its number in hexadecimal.
func (g MGF) String() string { return mgfNames.of(g) }

// ParseRV reads a name, CKR_..., or a number.
func ParseRV(s string) (RV, error) { return returnNames.parse("return code", s) }

// ParseAttributeType reads a name, CKA_..., or a number.
func ParseAttributeType(s string) (AttributeType, error) {
	return attributeNames.parse("attribute type", s)
}

// ParseMechanismType reads a name, CKM_..., or a number.
func ParseMechanismType(s string) (MechanismType, error) {
	return mechanismNames.parse("mechanism type", s)
}

// ParseObjectClass reads a name, CKO_..., or a number.
func ParseObjectClass(s string) (ObjectClass, error) { return classNames.parse("object class", s) }

// ParseKeyType reads a name, CKK_..., or a number.
func ParseKeyType(s string) (KeyType, error) { return keyTypeNames.parse("key type", s) }

// ParseUserType reads a name, CKU_..., or a number.
func ParseUserType(s string) (UserType, error) { return userNames.parse("user type", s) }
