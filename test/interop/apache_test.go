package interop

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const apacheConf = `
ServerRoot "%[1]s"
DefaultRuntimeDir "%[1]s"
PidFile "%[1]s/pid"
ErrorLog "%[1]s/error.log"
ServerName localhost
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
StartServers 2
Listen %[2]s
DocumentRoot "%[1]s/pages"
SSLSessionCache none
SSLSessionTickets off
SSLCryptoDevice pkcs11
SSLEngine on
SSLCertificateFile "%[1]s/server.pem"
SSLCertificateKeyFile "%[3]s"
`

// TestApache serves TLS with a key of the token: the master loads it, and threads of the
// processes that it has forked sign with it, before and after a graceful restart.
func TestApache(t *testing.T) {
	need(t, "pkcs11-tool", "opensc")
	need(t, "openssl", "openssl")
	needEngine(t)
	path := need(t, "apache2", "apache2-bin")
	for _, keyType := range []string{"rsa:2048", "EC:prime256v1"} {
		t.Run(keyType, func(t *testing.T) {
			t.Parallel()
			w := newWebServer(t, keyType)
			mkdir(t, filepath.Join(w.dir, "pages"), w.as)
			for name, text := range map[string]string{
				"pages/page": "from the token",
				"httpd.conf": fmt.Sprintf(apacheConf, w.dir, w.address, w.key),
			} {
				if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			w.url += "/page"
			master := w.command(path, "-f", filepath.Join(w.dir, "httpd.conf"), "-DFOREGROUND")
			w.start(master)
			handshakes := func() {
				t.Helper()
				for i := range 100 {
					page, err := w.get(tls.VersionTLS12 + uint16(i%2))
					if err != nil || page != "from the token" {
						t.Fatalf("handshake %d: %q, %v", i, page, err)
					}
				}
			}
			handshakes()
			master.Process.Signal(syscall.SIGUSR1)
			if _, err := awaitLine(filepath.Join(w.dir, "error.log"), `(?s:graceful restart.*resuming (normal) operations)`); err != nil {
				t.Fatal(err)
			}
			handshakes()
			master.Process.Signal(syscall.SIGTERM)
			if err := w.wait(); err != nil {
				t.Errorf("apache2 ended with %v", err)
			}
			if log := w.log(); complains(log) {
				t.Errorf("apache2 complains:\n%s", log)
			}
		})
	}
}
