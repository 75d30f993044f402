package interop

import "testing"

// TestPrograms runs a script for each program that people use with tokens.
func TestPrograms(t *testing.T) {
	need(t, "openssl", "openssl")
	needEngine(t)
	for program, debianPackage := range map[string]string{
		"pkcs11-tool": "opensc", "p11tool": "gnutls-bin", "certtool": "gnutls-bin", "p11-kit": "p11-kit",
		"ssh": "openssh-client", "sshd": "openssh-server", "curl": "curl", "stunnel4": "stunnel4",
		"keytool": "default-jdk-headless", "certutil": "libnss3-tools",
		"osslsigncode": "osslsigncode", "sbsign": "sbsigntool", "gpg": "gnupg", "gnupg-pkcs11-scd": "gnupg-pkcs11-scd",
		"keymgr": "knot", "kzonesign": "knot-dnssecutils", "ldns-signzone": "ldnsutils", "ods-hsmutil": "libhsm-bin",
		"dnssec-verify": "bind9-utils",
	} {
		need(t, program, debianPackage)
	}
	runScripts(t, "testdata/programs")
}
