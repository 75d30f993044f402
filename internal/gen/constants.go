package main

import (
	"fmt"
	"maps"
	"slices"
)

// attributeKinds pairs the kinds of attributes.csv with the Go constants of
// cryptoki/kind.go.
var attributeKinds = [][2]string{
	{"bool", "KindBool"},
	{"ulong", "KindULong"},
	{"bytes", "KindBytes"},
	{"utf8", "KindUTF8"},
	{"date", "KindDate"},
	{"bigint", "KindBigInt"},
	{"ulongs", "KindULongs"},
	{"template", "KindTemplate"},
}

func readAttributes(root string) ([]constant, error) {
	var kinds []string
	for _, k := range attributeKinds {
		kinds = append(kinds, k[0])
	}
	return readConstants(root, "attributes.csv", []string{"name", "value", "kind", "origin"}, "kind", kinds)
}

func readReturns(root string) ([]constant, error) {
	return readConstants(root, "returns.csv", []string{"name", "value", "origin"}, "", nil)
}

func readMechanisms(root string) ([]constant, error) {
	shapes, err := readShapes(root)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range shapes {
		if s.number != partOnly {
			names = append(names, s.name)
		}
	}
	return readConstants(root, "mechanisms.csv", []string{"name", "value", "shape", "origin"}, "shape", names)
}

// group is a kind of constants.csv: what its constants are for, the Go type that
// takes them (empty for untyped ones), and the table of names that the type has.
type group struct {
	kind, comment, goType, names string
}

var groups = []group{
	{"class", "Object classes.", "ObjectClass", "classNames"},
	{"keytype", "Key types.", "KeyType", "keyTypeNames"},
	{"certificate type", "Values of CKA_CERTIFICATE_TYPE.", "", ""},
	{"certificate category", "Values of CKA_CERTIFICATE_CATEGORY.", "", ""},
	{"security domain", "Values of CKA_JAVA_MIDP_SECURITY_DOMAIN.", "", ""},
	{"hardware feature", "Values of CKA_HW_FEATURE_TYPE.", "", ""},
	{"user", "User types.", "UserType", "userNames"},
	{"state", "Session states.", "SessionState", "stateNames"},
	{"session validation", "Types of session validation flags, for C_GetSessionValidationFlags.", "", ""},
	{"notification", "Notifications to a CK_NOTIFY callback.", "", ""},
	{"slot flag", "Flags of CK_SLOT_INFO.", "Flags", ""},
	{"token flag", "Flags of CK_TOKEN_INFO.", "Flags", ""},
	{"session flag", "Flags of C_OpenSession and CK_SESSION_INFO.", "Flags", ""},
	{"mechanism flag", "Flags of CK_MECHANISM_INFO.", "Flags", ""},
	{"initialize flag", "Flags of CK_C_INITIALIZE_ARGS.", "Flags", ""},
	{"wait flag", "Flags of C_WaitForSlotEvent.", "Flags", ""},
	{"interface flag", "Flags of CK_INTERFACE.", "Flags", ""},
	{"message flag", "Flags of the message functions.", "Flags", ""},
	{"attribute flag", "Bits of an attribute type.", "Flags", ""},
	{"otp flag", "Flags of CK_OTP_PARAM.", "Flags", ""},
	{"hkdf salt", "Salt types of CK_HKDF_PARAMS.", "", ""},
	{"vendor flag", "Flags of several structures.", "Flags", ""},
	{"mgf", "Mask generation functions.", "MGF", "mgfNames"},
	{"generator", "Generators of initialization vectors, for CK_GCM_MESSAGE_PARAMS and its like.", "", ""},
	{"oaep source", "Sources of the label, for CK_RSA_PKCS_OAEP_PARAMS.", "", ""},
	{"pbkd2 salt source", "Sources of the salt, for CK_PKCS5_PBKD2_PARAMS2.", "", ""},
	{"pbkd2 prf", "Pseudo-random functions, for CK_PKCS5_PBKD2_PARAMS2.", "", ""},
	{"profile", "Values of CKA_PROFILE_ID.", "", ""},
	{"ml-dsa parameter set", "Values of CKA_PARAMETER_SET of an ML-DSA key.", "", ""},
	{"ml-kem parameter set", "Values of CKA_PARAMETER_SET of an ML-KEM key.", "", ""},
	{"slh-dsa parameter set", "Values of CKA_PARAMETER_SET of an SLH-DSA key.", "", ""},
	{"hedge", "Hedge variants, for CK_SIGN_ADDITIONAL_CONTEXT.", "", ""},
	{"kdf", "Key derivation functions, for CK_ECDH1_DERIVE_PARAMS and its like.", "", ""},
	{"sp800-108 data", "Types of CK_PRF_DATA_PARAM.", "", ""},
	{"sp800-108 length", "Length methods of CK_SP800_108_DKM_LENGTH_FORMAT.", "", ""},
	{"trust", "Values of the CKA_TRUST_ attributes.", "", ""},
	{"validation authority", "Values of CKA_VALIDATION_AUTHORITY_TYPE.", "", ""},
	{"validation type", "Values of CKA_VALIDATION_TYPE.", "", ""},
	{"otp parameter", "Types of CK_OTP_PARAM.", "", ""},
	{"otp format", "Values of CKA_OTP_FORMAT.", "", ""},
	{"otp requirement", "Values of the CKA_OTP_ requirement attributes.", "", ""},
	{"vendor certificate", "Types of a device's own certificates.", "", ""},
	{"ecies dh", "Diffie-Hellman primitives of ECIES.", "", ""},
	{"ecies encryption", "Encryption schemes of ECIES.", "", ""},
	{"ecies mac", "MAC schemes of ECIES.", "", ""},
	{"role flag", "Flags of a role's state.", "", ""},
	{"sim form", "Forms of authorization of an extracted key.", "", ""},
	{"vendor", "Further numbers.", "", ""},
}

// readGroups returns the constants of constants.csv by kind, and checks that
// every kind of the list above occurs.
func readGroups(root string) (map[string][]constant, error) {
	var kinds []string
	for _, g := range groups {
		kinds = append(kinds, g.kind)
	}
	constants, err := readConstants(root, "constants.csv", []string{"kind", "name", "value", "origin"}, "kind", kinds)
	if err != nil {
		return nil, err
	}
	byKind := map[string][]constant{}
	for _, c := range constants {
		byKind[c.class] = append(byKind[c.class], c)
	}
	if len(byKind) != len(groups) {
		return nil, fmt.Errorf("constants.csv has the kinds %q only", slices.Sorted(maps.Keys(byKind)))
	}
	return byKind, nil
}

// constantOutputs makes the generated files of package cryptoki.
func constantOutputs(root string) ([]output, error) {
	files := []struct {
		path     string
		generate func(root string) ([]byte, error)
	}{
		{"cryptoki/attributes_gen.go", attributesGo},
		{"cryptoki/constants_gen.go", constantsGo},
		{"cryptoki/mechanisms_gen.go", mechanismsGo},
		{"cryptoki/parameters_gen.go", parametersGo},
		{"cryptoki/returns_gen.go", returnsGo},
	}
	var outputs []output
	for _, f := range files {
		data, err := f.generate(root)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		outputs = append(outputs, output{f.path, data})
	}
	return outputs, nil
}

func attributesGo(root string) ([]byte, error) {
	constants, err := readAttributes(root)
	if err != nil {
		return nil, err
	}
	s := newGoSource("attributes.csv")
	s.constants("Attribute types of PKCS#11 3.2.", "AttributeType", constants, false)
	s.constants("Attribute types of the vendor extensions.", "AttributeType", constants, true)
	s.names("attributeNames", "AttributeType", constants)
	err = s.classes("Kind tells what a value of the attribute is; KindUnknown for an unknown attribute.",
		"AttributeType", "Kind() AttributeKind", constants, attributeKinds, "KindUnknown")
	if err != nil {
		return nil, err
	}
	return s.source()
}

func returnsGo(root string) ([]byte, error) {
	constants, err := readReturns(root)
	if err != nil {
		return nil, err
	}
	s := newGoSource("returns.csv")
	s.constants("Return codes of PKCS#11 3.2.", "RV", constants, false)
	s.constants("Return codes of the vendor extensions.", "RV", constants, true)
	s.names("returnNames", "RV", constants)
	return s.source()
}

func mechanismsGo(root string) ([]byte, error) {
	constants, err := readMechanisms(root)
	if err != nil {
		return nil, err
	}
	shapes, err := readShapes(root)
	if err != nil {
		return nil, err
	}
	s := newGoSource("mechanisms.csv")
	s.constants("Mechanism types of PKCS#11 3.2.", "MechanismType", constants, false)
	s.constants("Mechanism types of the vendor extensions.", "MechanismType", constants, true)
	s.names("mechanismNames", "MechanismType", constants)
	var classes [][2]string
	for _, shape := range shapes {
		if shape.name != "bytes" && shape.number != partOnly {
			classes = append(classes, [2]string{shape.name, shape.constant()})
		}
	}
	err = s.classes("Shape tells the form of the mechanism's parameter where it has one; ShapeBytes, its bytes as\n// they are, for an unknown mechanism.",
		"MechanismType", "Shape() Shape", constants, classes, "ShapeBytes")
	if err != nil {
		return nil, err
	}
	return s.source()
}

func constantsGo(root string) ([]byte, error) {
	byKind, err := readGroups(root)
	if err != nil {
		return nil, err
	}
	s := newGoSource("constants.csv")
	for _, g := range groups {
		s.constants(g.comment, g.goType, byKind[g.kind], false)
		s.constants("Vendor extensions: "+lowerFirst(g.comment), g.goType, byKind[g.kind], true)
	}
	for _, g := range groups {
		if g.names != "" {
			s.names(g.names, g.goType, byKind[g.kind])
		}
	}
	return s.source()
}
