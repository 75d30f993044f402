package interop

import "testing"

// TestPrograms runs a script for each program that people use with tokens.
func TestPrograms(t *testing.T) {
	need(t, "openssl", "openssl")
	needEngine(t)
	for program, debianPackage := range map[string]string{
		"pkcs11-tool": "opensc", "p11tool": "gnutls-bin", "certtool": "gnutls-bin", "ssh": "openssh-client", "sshd": "openssh-server",
		"keytool": "default-jdk-headless", "osslsigncode": "osslsigncode", "curl": "curl",
	} {
		need(t, program, debianPackage)
	}
	runScripts(t, "testdata/programs")
}
