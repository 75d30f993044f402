package main

import (
	"errors"
	"fmt"
	"io"

	"tidelock.dev/tidelock/cryptoki"
)

// advice says what to do about a code, where the code alone tells.
var advice = map[cryptoki.RV]string{
	cryptoki.CKR_PIN_EXPIRED:                     "somebody else chose this PIN: its holder changes it first, with `tidelock role changepw ROLE`",
	cryptoki.CKR_PIN_INCORRECT:                   "a right PIN sets the count back; docs/operating.md says what too many wrong ones cost",
	cryptoki.CKR_PIN_LOCKED:                      "too many wrong PINs: `tidelock role show ROLE` tells the state, docs/operating.md who can reset it",
	cryptoki.CKR_PIN_LEN_RANGE:                   "the PIN is too short or too long: the partition's policies 25 and 26 say how long it may be",
	cryptoki.CKR_PIN_INVALID:                     "the PIN has characters that are not allowed",
	cryptoki.CKR_USER_PIN_NOT_INITIALIZED:        "the role has no PIN yet: `tidelock role init ROLE`",
	cryptoki.CKR_USER_NOT_LOGGED_IN:              "this is for another role: see `tidelock help` for who may do it",
	cryptoki.CKR_USER_ALREADY_LOGGED_IN:          "the role is logged in already",
	cryptoki.CKR_TOKEN_NOT_RECOGNIZED:            "the partition is not initialised: `tidelock partition init --label LABEL`",
	cryptoki.CKR_SESSION_EXISTS:                  "programs have sessions with the partition: stop them first (`tidelock partition show` counts them)",
	cryptoki.CKR_DEVICE_MEMORY:                   "no room: delete objects, or let the HSM SO make the partition larger (`tidelock partition resize`)",
	cryptoki.CKR_ACTION_PROHIBITED:               "the HSM does not allow it to you, or the object is marked so",
	cryptoki.CKR_FUNCTION_NOT_SUPPORTED:          "the running server does not know this call: is it of the same version? `tidelock version`",
	cryptoki.CKR_DEVICE_ERROR:                    "the server gave no answer or is out of order: see its log",
	cryptoki.CKR_OBJECT_HANDLE_INVALID:           "`tidelock key list` shows the handles that you may see",
	cryptoki.CKR_SESSION_COUNT:                   "all sessions are in use: close some, or raise the limit",
	cryptoki.CKR_SESSION_READ_ONLY_EXISTS:        "a read-only session of this program is open",
	cryptoki.CKR_SLOT_ID_INVALID:                 "`tidelock partition list` shows the partitions; the administration's slot is on the administrator's socket only",
	cryptoki.CKR_LICENSE_CAPACITY_EXCEEDED:       "the HSM has as many partitions as it may (`tidelock hsm show`, and HSM policy 33): delete one first",
	cryptoki.CKR_AUDIT_LOGIN_TIMEOUT_IN_PROGRESS: "three wrong PINs of the Auditor: wait 10 minutes, then try once",
	cryptoki.CKR_SO_LOGIN_FAILURE_THRESHOLD:      "three wrong PINs of the HSM SO: the HSM is zeroized; `tidelock hsm init` starts again",
	cryptoki.CKR_ACCESS_ID_INVALID:               "a client before 10.3 cannot use a partition of version 1: TIDELOCK_CLIENT_LEVEL or client.conf sets this client's level (docs/library.md)",
	cryptoki.CKR_LOG_FULL:                        "the audit log is full: the Auditor empties it with `tidelock audit rotate --file FILE`, or makes it larger with `tidelock audit config set --limit N`",
	cryptoki.CKR_USER_LOCKED_OUT:                 "too many wrong PINs: docs/operating.md says who can reset it",
}

// explain prints an error and, where that is known, what to do next.
func explain(w io.Writer, err error) {
	fmt.Fprintln(w, "tidelock:", err)
	var rv cryptoki.RV
	var coded *cryptoki.Error
	if errors.As(err, new(reasoned)) {
		return
	}
	if !errors.As(err, &rv) && !errors.As(err, &coded) {
		return
	}
	if next, ok := advice[cryptoki.Code(err)]; ok {
		fmt.Fprintln(w, " ", next)
	}
}
