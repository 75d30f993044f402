package partition_test

import (
	"testing"
	"time"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/partition"
)

// The Auditor makes himself while no HSM SO is logged in, once; three wrong PINs keep
// him out for ten minutes.
func TestAuditor(t *testing.T) {
	w := newWorld(t, 0, forced)
	d, err := partition.NewDraft(w.config, partition.AdministrationID, partition.Administration, partition.Identity{Label: "hsm", Serial: "1"},
		map[partition.Role]secret.Bytes{partition.RoleHSMSO: bytes(officerPIN)})
	if err != nil {
		t.Fatal(err)
	}
	w.update(d.Write)
	w.next = partition.AdministrationID
	w.open()
	so, s := w.login(cryptoki.CKU_SO, officerPIN), w.session()
	code(t, s.InitRole(cryptoki.CKU_AUDIT, bytes(userPIN)), cryptoki.CKR_USER_ANOTHER_ALREADY_LOGGED_IN)
	code(t, so.InitRole(cryptoki.CKU_AUDIT, bytes(userPIN)), cryptoki.CKR_USER_NOT_LOGGED_IN)
	code(t, so.Logout(), cryptoki.CKR_OK)
	code(t, s.InitRole(cryptoki.CKU_AUDIT, bytes(userPIN)), cryptoki.CKR_OK)
	code(t, s.InitRole(cryptoki.CKU_AUDIT, bytes(ownerPIN)), cryptoki.CKR_ACTION_PROHIBITED)
	for _, want := range []cryptoki.RV{cryptoki.CKR_PIN_INCORRECT, cryptoki.CKR_PIN_INCORRECT, cryptoki.CKR_PIN_LOCKED, cryptoki.CKR_PIN_LOCKED} {
		_, err := s.Login(cryptoki.CKU_AUDIT, bytes(wrongPIN))
		code(t, err, want)
	}
	w.now = w.now.Add(10*time.Minute - time.Second)
	_, err = s.Login(cryptoki.CKU_AUDIT, bytes(userPIN))
	code(t, err, cryptoki.CKR_PIN_LOCKED)
	w.now = w.now.Add(time.Second)
	_, err = s.Login(cryptoki.CKU_AUDIT, bytes(userPIN))
	code(t, err, cryptoki.CKR_OK)
	if len(w.lost) != 0 {
		t.Errorf("the HSM was told of %v", w.lost)
	}
}
