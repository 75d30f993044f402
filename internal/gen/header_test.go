package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compilers are those that are installed.
func compilers(t *testing.T, names ...string) []string {
	t.Helper()
	var found []string
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		t.Skipf("none of %s is installed", strings.Join(names, ", "))
	}
	return found
}

// compile checks a source text that includes the header.
func compile(t *testing.T, compiler, language, standard, source string) {
	t.Helper()
	include, err := filepath.Abs(filepath.Join(repository, "clib", "include"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(compiler, "-x", language, "-std="+standard, "-fsyntax-only",
		"-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-I", include, "-")
	c.Stdin = strings.NewReader(source)
	if message, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s -std=%s: %v\n%s", compiler, standard, err, message)
	}
}

func TestHeaderIsC(t *testing.T) {
	for _, compiler := range compilers(t, "gcc", "clang") {
		compile(t, compiler, "c", "c11", layoutProgram("_Static_assert"))
	}
}

func TestHeaderIsCPlusPlus(t *testing.T) {
	for _, compiler := range compilers(t, "g++", "clang++") {
		compile(t, compiler, "c++", "c++11", layoutProgram("static_assert"))
	}
}

// layoutProgram is a program that holds the header against the sizes and places that
// 64-bit Unix programs, compiled with other headers, expect.
func layoutProgram(assert string) string {
	sizes := []struct {
		typ  string
		size int
	}{
		{"CK_BBOOL", 1},
		{"CK_ULONG", 8},
		{"CK_RV", 8},
		{"CK_VERSION", 2},
		{"CK_INFO", 88},
		{"CK_SLOT_INFO", 112},
		{"CK_TOKEN_INFO", 208},
		{"CK_SESSION_INFO", 32},
		{"CK_ATTRIBUTE", 24},
		{"CK_DATE", 8},
		{"CK_MECHANISM", 24},
		{"CK_MECHANISM_INFO", 24},
		{"CK_C_INITIALIZE_ARGS", 48},
		{"CK_INTERFACE", 24},
		{"CK_ASYNC_DATA", 40},
		{"CK_DERIVED_KEY", 24},
		{"CK_RSA_PKCS_PSS_PARAMS", 24},
		{"CK_RSA_PKCS_OAEP_PARAMS", 40},
		{"CK_ECDH1_DERIVE_PARAMS", 40},
		{"CK_EDDSA_PARAMS", 24},
		{"CK_GCM_PARAMS", 48},
		{"CK_GCM_MESSAGE_PARAMS", 48},
		{"CK_CCM_PARAMS", 48},
		{"CK_AES_CTR_PARAMS", 24},
		{"CK_HKDF_PARAMS", 64},
		{"CK_SP800_108_KDF_PARAMS", 40},
		{"CK_SP800_108_FEEDBACK_KDF_PARAMS", 56},
		{"CK_PRF_DATA_PARAM", 24},
		{"CK_KEY_DERIVATION_STRING_DATA", 16},
		{"CK_SIGN_ADDITIONAL_CONTEXT", 24},
		{"CK_HASH_SIGN_ADDITIONAL_CONTEXT", 32},
		// The version, padded to a pointer, and 68, 92, 104 functions.
		{"CK_FUNCTION_LIST", 8 + 68*8},
		{"CK_FUNCTION_LIST_3_0", 8 + 92*8},
		{"CK_FUNCTION_LIST_3_2", 8 + 104*8},
	}
	places := []struct {
		member string
		offset int
	}{
		{"CK_INFO, libraryVersion", 80},
		{"CK_TOKEN_INFO, flags", 96},
		{"CK_TOKEN_INFO, utcTime", 188},
		{"CK_GCM_PARAMS, pAAD", 24},
		{"CK_GCM_PARAMS, ulTagBits", 40},
		{"CK_EDDSA_PARAMS, pContextData", 16},
		{"CK_HKDF_PARAMS, prfHashMechanism", 8},
		{"CK_FUNCTION_LIST, C_Initialize", 8},
		{"CK_FUNCTION_LIST, C_Sign", 8 + 43*8},
		{"CK_FUNCTION_LIST, C_WaitForSlotEvent", 8 + 67*8},
		{"CK_FUNCTION_LIST_3_0, C_GetInterfaceList", 8 + 68*8},
		{"CK_FUNCTION_LIST_3_0, C_MessageVerifyFinal", 8 + 91*8},
		{"CK_FUNCTION_LIST_3_2, C_EncapsulateKey", 8 + 92*8},
		{"CK_FUNCTION_LIST_3_2, C_UnwrapKeyAuthenticated", 8 + 103*8},
	}
	numbers := []struct {
		name  string
		value uint64
	}{
		{"CKR_CRYPTOKI_NOT_INITIALIZED", 0x190},
		{"CKA_DECAPSULATE", 0x634},
		{"CKM_SHA384_RSA_PKCS_PSS", 0x44},
		{"CKF_OS_LOCKING_OK", 2},
		{"CKU_CRYPTO_USER", 0x80000001},
		{"CK_UNAVAILABLE_INFORMATION", ^uint64(0)},
	}
	var b strings.Builder
	b.WriteString("#include <stddef.h>\n#include \"tidelock/pkcs11.h\"\n")
	for _, s := range sizes {
		fmt.Fprintf(&b, "%s(sizeof(%s) == %d, \"size of %s\");\n", assert, s.typ, s.size, s.typ)
	}
	for _, p := range places {
		fmt.Fprintf(&b, "%s(offsetof(%s) == %d, \"place of %s\");\n", assert, p.member, p.offset, p.member)
	}
	for _, n := range numbers {
		fmt.Fprintf(&b, "%s(%s == %dUL, \"%s\");\n", assert, n.name, n.value, n.name)
	}
	b.WriteString("static CK_C_Sign sign = C_Sign;\nint main(void) { return sign == NULL_PTR; }\n")
	return b.String()
}
