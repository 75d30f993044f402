package interop

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tidelock.dev/tidelock/test/token"
)

// Java's TLS makes keys for one handshake, which must not stay in the token: CKA_TOKEN is
// for the key store to say.
const javaTLSConf = `name = Tidelock
library = %s
slotListIndex = 0
attributes(generate, CKO_PRIVATE_KEY, *) = {
  CKA_SIGN = true
}
attributes(generate, CKO_PUBLIC_KEY, *) = {
  CKA_VERIFY = true
}
`

// TestTLSJava has Java's own TLS serve with keys of a token by SunPKCS11: OpenSSL and
// Go shake hands with it, in TLS 1.2 and 1.3, with an RSA and with an EC key.
func TestTLSJava(t *testing.T) {
	for _, program := range []string{"java", "javac", "keytool"} {
		need(t, program, "default-jdk-headless")
	}
	need(t, "openssl", "openssl")
	need(t, "pkcs11-tool", "opensc")
	s := startJavaServer(t)
	for _, c := range []struct {
		version    string // an option of s_client
		signature  string // the algorithms that the client offers
		peer       string // what s_client says of the server's signature
		negotiated string // what the server says
	}{
		{"-tls1_2", "ECDSA+SHA256", "ECDSA", "TLSv1.2 TLS_ECDHE_ECDSA_"},
		{"-tls1_2", "RSA+SHA256", "RSA", "TLSv1.2 TLS_ECDHE_RSA_"},
		{"-tls1_2", "RSA-PSS+SHA256:RSA+SHA256", "RSA-PSS", "TLSv1.2 TLS_ECDHE_RSA_"},
		{"-tls1_3", "ECDSA+SHA256", "ECDSA", "TLSv1.3 TLS_"},
		{"-tls1_3", "RSA-PSS+SHA256:RSA+SHA256", "RSA-PSS", "TLSv1.3 TLS_"},
	} {
		t.Run(c.version[1:]+" "+c.signature, func(t *testing.T) {
			client := exec.Command("openssl", "s_client", "-connect", s.address, "-CAfile", s.roots, "-verify_return_error",
				"-verify_hostname", "localhost", "-sigalgs", c.signature, "-ign_eof", c.version)
			out, err := client.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{"Verification: OK", "Peer signature type: " + c.peer + "\n", c.negotiated} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in:\n%s", want, out)
				}
			}
		})
	}
	t.Run("many", func(t *testing.T) {
		var wg sync.WaitGroup
		for worker := range 4 {
			config := s.client(t, worker%2 == 0, tls.VersionTLS12+uint16(worker/2))
			wg.Go(func() {
				for range 50 {
					if err := s.get(config); err != nil {
						t.Errorf("client %d: %v", worker, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
	if keys := s.keys(t); strings.Count(keys, "Private Key Object") != 2 || strings.Count(keys, ", local") != 2 {
		t.Errorf("the token does not hold the two keys that it has made, and no others:\n%s", keys)
	}
}

// javaServer is a running Server.java.
type javaServer struct {
	address string
	roots   string // a file
	token   *token.Token
}

func startJavaServer(t *testing.T) *javaServer {
	t.Helper()
	tok := newToken(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "pkcs11.cfg")
	if err := os.WriteFile(conf, fmt.Appendf(nil, javaTLSConf, tok.Module), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(name string, arg ...string) []byte {
		t.Helper()
		c := tok.Command(name, arg...)
		var complaints bytes.Buffer
		c.Stderr = &complaints
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s%s", name, err, out, complaints.Bytes())
		}
		return out
	}
	keytool := func(arg ...string) []byte {
		t.Helper()
		return run("keytool", append(arg, "-keystore", "NONE", "-storetype", "PKCS11", "-storepass", token.PIN,
			"-addprovider", "SunPKCS11", "-providerarg", conf)...)
	}
	var roots []byte
	for alias, kind := range map[string][]string{
		"ec":  {"-keyalg", "EC", "-groupname", "secp256r1", "-sigalg", "SHA256withECDSA"},
		"rsa": {"-keyalg", "RSA", "-keysize", "2048", "-sigalg", "SHA256withRSA"},
	} {
		// By -providername the token generates an RSA key; else Java does, and puts it there.
		keytool(append([]string{"-genkeypair", "-providername", "SunPKCS11-Tidelock", "-alias", alias, "-dname", "CN=" + alias, "-validity", "2", "-ext", "SAN=DNS:localhost"}, kind...)...)
		roots = append(roots, keytool("-exportcert", "-rfc", "-alias", alias)...)
	}
	s := &javaServer{roots: filepath.Join(dir, "roots.pem"), token: tok}
	if err := os.WriteFile(s.roots, roots, 0o644); err != nil {
		t.Fatal(err)
	}
	run("javac", "-d", dir, filepath.Join("testdata", "java", "Server.java"))

	server := tok.Command("java", "-Xmx64m", "-XX:+UseSerialGC", "-cp", dir, "Server", conf, token.PIN)
	var complaints bytes.Buffer
	server.Stderr = &complaints
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := server.Wait(); err != nil || t.Failed() {
			t.Errorf("java: %v\n%s", err, complaints.Bytes())
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server tells no port: %v", err)
	}
	s.address = net.JoinHostPort("127.0.0.1", strings.TrimSpace(port))
	return s
}

// client makes the server choose the version and one of its two keys.
func (s *javaServer) client(t *testing.T, ec bool, version uint16) *tls.Config {
	t.Helper()
	config := &tls.Config{ServerName: "localhost", MinVersion: version, MaxVersion: version, RootCAs: readRoots(t, s.roots)}
	if version == tls.VersionTLS12 {
		config.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		if ec {
			config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		}
		config.VerifyConnection = func(state tls.ConnectionState) error {
			return holds(state.PeerCertificates[0], ec)
		}
	}
	return config
}

// holds tells whether a certificate is one for an EC key or for an RSA key.
func holds(certificate *x509.Certificate, ec bool) error {
	var ok bool
	if ec {
		_, ok = certificate.PublicKey.(*ecdsa.PublicKey)
	} else {
		_, ok = certificate.PublicKey.(*rsa.PublicKey)
	}
	if !ok {
		return fmt.Errorf("the server has a key of type %T", certificate.PublicKey)
	}
	return nil
}

// keys lists the private keys of the token.
func (s *javaServer) keys(t *testing.T) string {
	t.Helper()
	list := s.token.Command("pkcs11-tool", "--module", s.token.Module, "--token-label", token.Label, "--login", "--pin", token.PIN,
		"--list-objects", "--type", "privkey")
	out, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("pkcs11-tool: %v\n%s", err, out)
	}
	return string(out)
}

func (s *javaServer) get(config *tls.Config) error {
	conn, err := tls.Dial("tcp", s.address, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	if want := strings.ReplaceAll(tls.VersionName(config.MaxVersion), "TLS ", "TLSv"); !strings.HasPrefix(string(answer), want) {
		return fmt.Errorf("answer %q, not of %s", answer, want)
	}
	return nil
}
