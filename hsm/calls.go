package hsm

import (
	"tidelock.dev/tidelock/wire"
)

// calls is the dispatch table: every call that is built, with what it needs. A
// call that is not here answers CKR_FUNCTION_NOT_SUPPORTED.
var calls map[wire.Call]func() exchange

// The handlers refer to the table of links, which refers to the handlers.
func init() {
	calls = map[wire.Call]func() exchange{
		wire.CallHello:   on(needNothing, (*request).hello),
		wire.CallGoodbye: on(needApplication, (*request).goodbye),

		wire.CallSlotList:      on(needApplication, (*request).slotList),
		wire.CallSlotInfo:      on(needApplication, (*request).slotInfo),
		wire.CallTokenInfo:     on(needApplication, (*request).tokenInfo),
		wire.CallMechanismList: on(needApplication, (*request).mechanismList),
		wire.CallMechanismInfo: on(needApplication, (*request).mechanismInfo),

		wire.CallOpenSession:       on(needApplication, (*request).openSession),
		wire.CallCloseSession:      on(needOwnSession, (*request).closeSession),
		wire.CallCloseAllSessions:  on(needApplication, (*request).closeAllSessions),
		wire.CallSessionInfo:       on(needSession, (*request).sessionInfo),
		wire.CallLogin:             on(needSession, (*request).login),
		wire.CallLogout:            on(needOwnSession, (*request).logout),
		wire.CallSetPIN:            on(needSession, (*request).setPIN),
		wire.CallResume:            on(needApplication, (*request).resume),
		wire.CallSessionValidation: on(needSession, (*request).sessionValidation),

		wire.CallCreateObject:  on(needUse, (*request).createObject),
		wire.CallCopyObject:    on(needUse, (*request).copyObject),
		wire.CallDestroyObject: on(needUse, (*request).destroyObject),
		wire.CallObjectSize:    on(needUse, (*request).objectSize),
		wire.CallGetAttributes: on(needUse, (*request).getAttributes),
		wire.CallSetAttributes: on(needUse, (*request).setAttributes),
		wire.CallFind:          on(needUse, (*request).find),

		wire.CallOperationInit:   on(needUse, (*request).operationInit),
		wire.CallOperate:         on(needUse, (*request).operate),
		wire.CallOperateFused:    on(needUse, (*request).operateFused),
		wire.CallUpdate:          on(needUse, (*request).update),
		wire.CallUpdateBoth:      on(needUse, (*request).updateBoth),
		wire.CallFinal:           on(needUse, (*request).final),
		wire.CallDrain:           on(needUse, (*request).drain),
		wire.CallOperationCancel: on(needUse, (*request).operationCancel),

		wire.CallGetOperationState: on(needUse, (*request).getOperationState),
		wire.CallSetOperationState: on(needUse, (*request).setOperationState),

		wire.CallGenerateKey:     on(needUse, (*request).generateKey),
		wire.CallGenerateKeyPair: on(needUse, (*request).generateKeyPair),
		wire.CallWrapKey:         on(needUse, (*request).wrapKey),
		wire.CallUnwrapKey:       on(needUse, (*request).unwrapKey),
		wire.CallDeriveKey:       on(needUse, (*request).deriveKey),
		wire.CallDigestKey:       on(needUse, (*request).digestKey),
		wire.CallMessageCrypt:    on(needUse, (*request).messageCrypt),
		wire.CallMessageInit:     on(needUse, (*request).messageInit),
		wire.CallMessageBegin:    on(needUse, (*request).messageBegin),
		wire.CallMessageNext:     on(needUse, (*request).messageNext),
		wire.CallGenerateRandom:  on(needUse, (*request).generateRandom),
		wire.CallSeedRandom:      on(needUse, (*request).seedRandom),

		wire.CallAuthorizeKey:             on(needUse, (*request).authorizeKey),
		wire.CallSetAuthorizationData:     on(needUse, (*request).setAuthorizationData),
		wire.CallResetAuthorizationData:   on(needUse, (*request).resetAuthorizationData),
		wire.CallAssignKey:                on(needUse, (*request).assignKey),
		wire.CallIncrementFailedAuthCount: on(needUse, (*request).incrementFailedAuthCount),

		wire.CallContents: on(needUse, (*request).contents),

		wire.CallPartitionInit: on(needApplication, (*request).partitionInit),
		wire.CallInitRole:      on(needUse, (*request).initRole),
		wire.CallResetRole:     on(needUse, (*request).resetRole),
		wire.CallRoleState:     on(needApplication, (*request).roleState),
		wire.CallPartitionInfo: on(needApplication, (*request).partitionInfo),

		wire.CallFirmwareVersion: on(needApplication, (*request).firmwareVersion),

		wire.CallFirmwareInfo:     on(needApplication, (*request).firmwareInfo),
		wire.CallFirmwareUpdate:   on(needUse, (*request).firmwareUpdate),
		wire.CallFirmwareRollback: on(needUse, (*request).firmwareRollback),
		wire.CallFirmwarePlan:     on(needApplication, (*request).firmwarePlan),
		wire.CallCapacity:         on(needApplication, (*request).capacity),

		wire.CallHSMInit:         on(needApplication, (*request).hsmInit),
		wire.CallHSMZeroize:      on(needApplication, (*request).hsmZeroize),
		wire.CallHSMFactoryReset: on(needApplication, (*request).hsmFactoryReset),
		wire.CallHSMSelfTest:     on(needApplication, (*request).hsmSelfTest),
		wire.CallHSMPolicies:     on(needApplication, (*request).hsmPolicies),
		wire.CallSetHSMPolicies:  on(needUse, (*request).setHSMPolicies),

		wire.CallPartitionPolicies:    on(needApplication, (*request).partitionPolicies),
		wire.CallSetPartitionPolicies: on(needUse, (*request).setPartitionPolicies),
		wire.CallPartitionTemplate:    on(needApplication, (*request).partitionTemplate),

		wire.CallPartitionCreate: on(needUse, (*request).partitionCreate),
		wire.CallPartitionDelete: on(needUse, (*request).partitionDelete),
		wire.CallPartitionResize: on(needUse, (*request).partitionResize),
		wire.CallClientAssign:    on(needUse, (*request).clientAssign),
		wire.CallClientRevoke:    on(needUse, (*request).clientRevoke),
		wire.CallClientList:      on(needUse, (*request).clientList),

		wire.CallHSMInfo:       on(needApplication, (*request).hsmInfo),
		wire.CallPartitionList: on(needApplication, (*request).partitionList),
		wire.CallStop:          on(needApplication, (*request).stop),
		wire.CallStatistics:    on(needApplication, (*request).statistics),

		wire.CallAuditRead:       on(needApplication, (*request).auditRead),
		wire.CallAuditVerify:     on(needApplication, (*request).auditVerify),
		wire.CallAuditCheckpoint: on(needApplication, (*request).auditCheckpoint),

		wire.CallAuditSettings:    on(needApplication, (*request).auditSettings),
		wire.CallSetAuditSettings: on(needUse, (*request).setAuditSettings),
		wire.CallAuditExport:      on(needUse, (*request).auditExport),
		wire.CallAuditClear:       on(needUse, (*request).auditClear),
		wire.CallLogExternal:      on(needUse, (*request).logExternal),
	}
}
