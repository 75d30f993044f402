package hsm_test

import (
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/policy"
	"tidelock.dev/tidelock/wire"
)

// staff is an HSM with an application for each that the checks of administration tell
// apart.
type staff struct {
	*box
	so    session // the HSM SO
	none  session // on the administration's slot, nobody logged in
	po    session // the Partition SO of slot 0
	empty uint64  // the slot of a partition that is not initialised
}

func newStaff(t *testing.T) *staff {
	t.Helper()
	e := &staff{box: newHSM(t)}
	e.so = e.officer()
	e.none = e.joinAs(administrator).openSlot(wire.AdminSlot)
	e.po = e.joinAs(administrator).openSlot(0)
	e.po.must(e.po.login(cryptoki.CKU_SO, soPIN))
	e.empty = e.so.mustCreatePartition("empty")
	return e
}

// expired is a session whose login is with an initial PIN.
func (e *staff) expired() session {
	e.t.Helper()
	_, rv := e.so.setHSMPolicy(policy.ForcePINChange, 1, false)
	e.so.must(rv)
	c := e.joinAs(administrator)
	c.must(c.initPartition(e.empty, "initial", soPIN))
	s := c.openSlot(e.empty)
	s.must(s.login(cryptoki.CKU_SO, soPIN))
	s.must(s.initRole(cryptoki.CKU_USER, coPIN))
	s.must(s.logout())
	s.must(s.login(cryptoki.CKU_USER, coPIN))
	return s
}

func nowhere(s session) session { return session{s.client, 0xdead} }

func (s session) setHSMPolicies(ids, values []uint64) cryptoki.RV {
	return s.do(wire.CallSetHSMPolicies, &wire.SetHSMPoliciesRequest{Ids: ids, Values: values}, &wire.SetHSMPoliciesReply{})
}

// TestCheckOrderOfAdministration is TestCheckOrder for the calls that make, change and
// destroy partitions and roles.
func TestCheckOrderOfAdministration(t *testing.T) {
	rows := checkOrder(t)
	ordinary := hsm.Caller{Link: hsm.LinkLocal, UID: 999, Owner: true}
	const badLabel = ""
	for _, c := range []struct {
		row            string
		earlier, later cryptoki.RV
		name           string
		do             func(e *staff) cryptoki.RV
	}{
		{"PartitionInit", cryptoki.CKR_SLOT_ID_INVALID, cryptoki.CKR_ARGUMENTS_BAD, "another's slot, no label", func(e *staff) cryptoki.RV {
			return e.joinAs(local).initPartition(e.empty, badLabel, soPIN)
		}},
		{"PartitionInit", cryptoki.CKR_ACTION_PROHIBITED, cryptoki.CKR_SESSION_EXISTS, "the administration's slot, sessions open", func(e *staff) cryptoki.RV {
			return e.so.initPartition(wire.AdminSlot, "x", soPIN)
		}},
		{"PartitionInit", cryptoki.CKR_SESSION_EXISTS, cryptoki.CKR_ARGUMENTS_BAD, "a session, no label", func(e *staff) cryptoki.RV {
			return e.so.initPartition(0, badLabel, soPIN)
		}},
		{"PartitionInit", cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_PIN_LEN_RANGE, "no label, a short PIN", func(e *staff) cryptoki.RV {
			return e.so.initPartition(e.empty, badLabel, "x")
		}},
		{"PartitionInit", cryptoki.CKR_PIN_LEN_RANGE, cryptoki.CKR_PIN_INCORRECT, "a short wrong PIN", func(e *staff) cryptoki.RV {
			e.po.must(e.po.close())
			return e.so.initPartition(0, "x", "x")
		}},
		{"PartitionInit", cryptoki.CKR_PIN_INCORRECT, cryptoki.CKR_PIN_INVALID, "a wrong PIN with control characters", func(e *staff) cryptoki.RV {
			e.po.must(e.po.close())
			return e.so.initPartition(0, "x", "\x01\x01\x01\x01")
		}},

		{"PartitionInit", cryptoki.CKR_ACTION_PROHIBITED, cryptoki.CKR_DATA_INVALID, "an initialised partition, no template", func(e *staff) cryptoki.RV {
			return only(e.so.initWith(0, "x"))
		}},
		{"PartitionInit", cryptoki.CKR_DATA_INVALID, cryptoki.CKR_PIN_LEN_RANGE, "no template, a short PIN", func(e *staff) cryptoki.RV {
			return e.so.call(wire.CallPartitionInit, 0, &wire.PartitionInitRequest{
				Slot: e.empty, Label: "x", PIN: wire.Secret("x"), Policies: []byte("x"),
			}, &wire.PartitionInitReply{})
		}},
		{"SetPartitionPolicies", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ARGUMENTS_BAD, "the HSM SO, no policies", func(e *staff) cryptoki.RV {
			return only(e.so.setPolicies(false))
		}},
		{"SetPartitionPolicies", cryptoki.CKR_CONFIG_ILLEGAL, cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, "out of range, masking alone", func(e *staff) cryptoki.RV {
			return only(e.po.setPolicies(false, to(3, 1), to(20, 11)))
		}},
		{"SetPartitionPolicies", cryptoki.CKR_CONFIG_FAILS_DEPENDENCIES, cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "masking alone, no promise to make", func(e *staff) cryptoki.RV {
			return only(e.po.setPolicies(false, to(37, 1), to(3, 1)))
		}},
		{"SetPartitionPolicies", cryptoki.CKR_FUNCTION_NOT_SUPPORTED, cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, "no promise to make, erases unasked", func(e *staff) cryptoki.RV {
			return only(e.po.setPolicies(false, to(9, 1), to(37, 1)))
		}},
		{"SetPartitionPolicies", cryptoki.CKR_ACCESS_ID_INVALID, cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, "an old client and version 1, erases unasked", func(e *staff) cryptoki.RV {
			s := e.old(oldClient).openSlot(0)
			s.must(s.login(cryptoki.CKU_SO, soPIN))
			return only(s.setPolicies(false, to(9, 1), to(41, 1)))
		}},

		{"InitRole", cryptoki.CKR_SESSION_HANDLE_INVALID, cryptoki.CKR_USER_TYPE_INVALID, "no session, no user type", func(e *staff) cryptoki.RV {
			return nowhere(e.po).initRole(77, coPIN)
		}},
		{"InitRole", cryptoki.CKR_PIN_EXPIRED, cryptoki.CKR_USER_TYPE_INVALID, "an initial PIN, no user type", func(e *staff) cryptoki.RV {
			return e.expired().initRole(77, coPIN)
		}},
		{"InitRole", cryptoki.CKR_SESSION_READ_ONLY, cryptoki.CKR_USER_TYPE_INVALID, "read-only, no user type", func(e *staff) cryptoki.RV {
			s, rv := e.joinAs(administrator).tryOpenSlot(0, readOnly)
			s.must(rv)
			return s.initRole(77, coPIN)
		}},
		{"InitRole", cryptoki.CKR_USER_TYPE_INVALID, cryptoki.CKR_USER_NOT_LOGGED_IN, "an SO, nobody logged in", func(e *staff) cryptoki.RV {
			return e.joinAs(administrator).openSlot(0).initRole(cryptoki.CKU_SO, coPIN)
		}},
		{"InitRole", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_PIN_LEN_RANGE, "nobody logged in, a short PIN", func(e *staff) cryptoki.RV {
			return e.joinAs(administrator).openSlot(0).initRole(cryptoki.CKU_USER, "x")
		}},
		{"InitRole", cryptoki.CKR_PIN_LEN_RANGE, cryptoki.CKR_ACTION_PROHIBITED, "a short PIN, a role that is there", func(e *staff) cryptoki.RV {
			return e.po.initRole(cryptoki.CKU_USER, "x")
		}},
		{"InitRole", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ACTION_PROHIBITED, "the Auditor, by the HSM SO", func(e *staff) cryptoki.RV {
			return e.so.initRole(cryptoki.CKU_AUDIT, coPIN)
		}},

		{"RoleState", cryptoki.CKR_SLOT_ID_INVALID, cryptoki.CKR_USER_TYPE_INVALID, "no slot, no user type", func(e *staff) cryptoki.RV {
			return e.so.call(wire.CallRoleState, 0, &wire.RoleStateRequest{Slot: 77, User: 77}, &wire.RoleStateReply{})
		}},
		{"RoleState", cryptoki.CKR_USER_TYPE_INVALID, cryptoki.CKR_USER_TYPE_INVALID, "no user type", func(e *staff) cryptoki.RV {
			return e.so.call(wire.CallRoleState, 0, &wire.RoleStateRequest{Slot: 0, User: 77}, &wire.RoleStateReply{})
		}},
		{"Contents", cryptoki.CKR_SESSION_HANDLE_INVALID, cryptoki.CKR_PIN_EXPIRED, "no session", func(e *staff) cryptoki.RV {
			return nowhere(e.expired()).do(wire.CallContents, &wire.ContentsRequest{}, &wire.ContentsReply{})
		}},

		{"HSMInit", cryptoki.CKR_ACTION_PROHIBITED, cryptoki.CKR_PIN_LEN_RANGE, "the other socket, a short PIN", func(e *staff) cryptoki.RV {
			return e.joinAs(ordinary).initHSM("x")
		}},
		{"HSMInit", cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_PIN_LEN_RANGE, "no label, a short PIN", func(e *staff) cryptoki.RV {
			return e.so.call(wire.CallHSMInit, 0, &wire.HSMInitRequest{PIN: wire.Secret("x")}, &wire.HSMInitReply{})
		}},
		{"HSMInit", cryptoki.CKR_PIN_LEN_RANGE, cryptoki.CKR_PIN_INCORRECT, "a short wrong PIN", func(e *staff) cryptoki.RV {
			return e.so.initHSM("x")
		}},
		{"SetHSMPolicies", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ARGUMENTS_BAD, "nobody logged in, no policies", func(e *staff) cryptoki.RV {
			return e.none.setHSMPolicies(nil, nil)
		}},
		{"SetHSMPolicies", cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_POLICY_ID_INVALID, "too few values, no policy", func(e *staff) cryptoki.RV {
			return e.so.setHSMPolicies([]uint64{9999, 9998}, []uint64{1})
		}},
		{"SetHSMPolicies", cryptoki.CKR_POLICY_ID_INVALID, cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, "no policy, a capability", func(e *staff) cryptoki.RV {
			return e.so.setHSMPolicies([]uint64{9999, 0}, []uint64{1, 0})
		}},
		{"SetHSMPolicies", cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "a capability, no promise to make", func(e *staff) cryptoki.RV {
			return e.so.setHSMPolicies([]uint64{0, 39}, []uint64{0, 1})
		}},
		{"SetHSMPolicies", cryptoki.CKR_FUNCTION_NOT_SUPPORTED, cryptoki.CKR_CONFIG_CHANGE_ILLEGAL, "no promise to make, erases unasked", func(e *staff) cryptoki.RV {
			return e.so.setHSMPolicies([]uint64{39}, []uint64{1})
		}},

		{"PartitionCreate", cryptoki.CKR_SESSION_HANDLE_INVALID, cryptoki.CKR_ARGUMENTS_BAD, "no session, no label", func(e *staff) cryptoki.RV {
			return only(nowhere(e.so).createPartition(badLabel, 0))
		}},
		{"PartitionCreate", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ARGUMENTS_BAD, "nobody logged in, no label", func(e *staff) cryptoki.RV {
			return only(e.none.createPartition(badLabel, 0))
		}},
		{"PartitionCreate", cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_DEVICE_MEMORY, "no label, no room", func(e *staff) cryptoki.RV {
			return only(e.so.createPartition(badLabel, 1<<60))
		}},
		{"PartitionCreate", cryptoki.CKR_LICENSE_CAPACITY_EXCEEDED, cryptoki.CKR_DEVICE_MEMORY, "no licence, no room", func(e *staff) cryptoki.RV {
			for n := range hsm.DefaultLicences - 2 {
				e.so.mustCreatePartition(string(rune('a' + n)))
			}
			return only(e.so.createPartition("x", 1<<60))
		}},
		{"PartitionDelete", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_SLOT_ID_INVALID, "the Partition SO, no slot", func(e *staff) cryptoki.RV {
			return e.po.deletePartition(77)
		}},
		{"PartitionResize", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_SLOT_ID_INVALID, "nobody logged in, no slot", func(e *staff) cryptoki.RV {
			return e.none.resize(77, 0)
		}},
		{"PartitionResize", cryptoki.CKR_SLOT_ID_INVALID, cryptoki.CKR_DEVICE_MEMORY, "the administration's slot, no room", func(e *staff) cryptoki.RV {
			return e.so.resize(wire.AdminSlot, 1<<60)
		}},
		{"FirmwareUpdate", cryptoki.CKR_SESSION_HANDLE_INVALID, cryptoki.CKR_USER_NOT_LOGGED_IN, "no session", func(e *staff) cryptoki.RV {
			return only(nowhere(e.so).updateFirmware("7.9.0"))
		}},
		{"FirmwareUpdate", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ARGUMENTS_BAD, "the Partition SO, no level", func(e *staff) cryptoki.RV {
			return only(e.po.updateFirmware("newest"))
		}},
		{"FirmwareUpdate", cryptoki.CKR_ARGUMENTS_BAD, cryptoki.CKR_OPERATION_NOT_ALLOWED, "no level, and an older one", func(e *staff) cryptoki.RV {
			return only(e.so.updateFirmware("7.5.0"))
		}},
		{"FirmwareRollback", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_OPERATION_NOT_ALLOWED, "nobody logged in, nothing to go back to", func(e *staff) cryptoki.RV {
			return only(e.none.rollbackFirmware())
		}},
		{"FirmwarePlan", cryptoki.CKR_ACTION_PROHIBITED, cryptoki.CKR_ACTION_PROHIBITED, "the other socket, no level", func(e *staff) cryptoki.RV {
			return only(e.joinAs(ordinary).plan("newest"))
		}},
		{"SetAuditSettings", cryptoki.CKR_SESSION_HANDLE_INVALID, cryptoki.CKR_USER_NOT_LOGGED_IN, "no session", func(e *staff) cryptoki.RV {
			return nowhere(e.so).setAudit(0, 0)
		}},
		{"SetAuditSettings", cryptoki.CKR_PIN_EXPIRED, cryptoki.CKR_USER_NOT_LOGGED_IN, "an initial PIN", func(e *staff) cryptoki.RV {
			return e.expired().setAudit(0, 0)
		}},
		{"SetAuditSettings", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ARGUMENTS_BAD, "the HSM SO, no limit", func(e *staff) cryptoki.RV {
			return e.so.setAudit(0, 0)
		}},
		{"AuditExport", cryptoki.CKR_SESSION_HANDLE_INVALID, cryptoki.CKR_USER_NOT_LOGGED_IN, "no session", func(e *staff) cryptoki.RV {
			return only(nowhere(e.so).exportAudit())
		}},
		{"AuditClear", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_ARGUMENTS_BAD, "the HSM SO, no segment", func(e *staff) cryptoki.RV {
			return e.so.clearAudit("")
		}},
		{"CA_LogExternal", cryptoki.CKR_SESSION_HANDLE_INVALID, cryptoki.CKR_DATA_LEN_RANGE, "no session, no text", func(e *staff) cryptoki.RV {
			return nowhere(e.so).logExternal("")
		}},
		{"CA_LogExternal", cryptoki.CKR_DATA_LEN_RANGE, cryptoki.CKR_USER_NOT_LOGGED_IN, "nobody logged in, no text", func(e *staff) cryptoki.RV {
			return e.none.logExternal("")
		}},
		{"ClientAssign, ClientRevoke", cryptoki.CKR_USER_NOT_LOGGED_IN, cryptoki.CKR_SLOT_ID_INVALID, "nobody logged in, no slot", func(e *staff) cryptoki.RV {
			return e.none.assign(77, 1, false)
		}},
	} {
		t.Run(c.row+"/"+c.name, func(t *testing.T) {
			inOrder(t, rows, c.row, c.earlier, c.later)
			want(t, c.name, c.do(newStaff(t)), c.earlier)
		})
	}
}
