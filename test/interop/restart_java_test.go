package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tidelock.dev/tidelock/test/token"
)

// Java leaves open how long a key lives and what it is for.
const javaConf = `name = Tidelock
library = %s
slotListIndex = 0
attributes(generate, CKO_PRIVATE_KEY, *) = {
  CKA_TOKEN = true
  CKA_SIGN = true
}
attributes(generate, CKO_PUBLIC_KEY, *) = {
  CKA_TOKEN = true
  CKA_VERIFY = true
}
`

// TestRestartJava lets Java's own PKCS#11 provider sign with a key of its key store
// while the server is killed three times.
func TestRestartJava(t *testing.T) {
	for _, program := range []string{"java", "javac", "keytool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: Debian's package openjdk-17-jdk-headless has it", program)
		}
	}
	tok := newToken(t)
	s := serverOf(t, tok)
	dir := t.TempDir()
	conf := filepath.Join(dir, "pkcs11.cfg")
	if err := os.WriteFile(conf, fmt.Appendf(nil, javaConf, tok.Module), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(name string, arg ...string) {
		t.Helper()
		if out, err := tok.Command(name, arg...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("keytool", "-genkeypair", "-v", "-keystore", "NONE", "-storetype", "PKCS11", "-storepass", token.PIN,
		"-addprovider", "SunPKCS11", "-providerarg", conf,
		"-alias", "java", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=java")
	run("javac", "-d", dir, filepath.Join("testdata", "java", "Signer.java"))

	signer := tok.Command("java", "-Xmx64m", "-XX:+UseSerialGC", "-cp", dir, "Signer", conf, token.PIN)
	var complaints bytes.Buffer
	signer.Stderr = &complaints
	in, err := signer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := signer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := signer.Wait(); err != nil || t.Failed() {
			t.Errorf("java: %v\n%s", err, complaints.Bytes())
		}
	}()
	lines := bufio.NewReader(out)
	last := 0
	more := func() {
		t.Helper()
		if _, err := fmt.Fprintln(in); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var signed, failed int
		if _, err := fmt.Sscanf(line, "%d signed, %d failed", &signed, &failed); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if failed > 0 || signed < last+20 {
			t.Errorf("%s since %d", strings.TrimSpace(line), last)
		}
		last = signed
	}
	more()
	for range 3 {
		s.kill()
		more()
	}
	t.Logf("%d signatures over 3 kills", last)
}
