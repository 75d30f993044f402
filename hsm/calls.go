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

		wire.CallOpenSession:      on(needApplication, (*request).openSession),
		wire.CallCloseSession:     on(needSession, (*request).closeSession),
		wire.CallCloseAllSessions: on(needApplication, (*request).closeAllSessions),
		wire.CallSessionInfo:      on(needSession, (*request).sessionInfo),
		wire.CallLogin:            on(needSession, (*request).login),
		wire.CallLogout:           on(needSession, (*request).logout),
		wire.CallSetPIN:           on(needSession, (*request).setPIN),
		wire.CallResume:           on(needApplication, (*request).resume),

		wire.CallCreateObject:  on(needSession, (*request).createObject),
		wire.CallCopyObject:    on(needSession, (*request).copyObject),
		wire.CallDestroyObject: on(needSession, (*request).destroyObject),
		wire.CallObjectSize:    on(needSession, (*request).objectSize),
		wire.CallGetAttributes: on(needSession, (*request).getAttributes),
		wire.CallSetAttributes: on(needSession, (*request).setAttributes),
		wire.CallFind:          on(needSession, (*request).find),

		wire.CallOperationInit:   on(needSession, (*request).operationInit),
		wire.CallOperate:         on(needSession, (*request).operate),
		wire.CallOperateFused:    on(needSession, (*request).operateFused),
		wire.CallUpdate:          on(needSession, (*request).update),
		wire.CallFinal:           on(needSession, (*request).final),
		wire.CallDrain:           on(needSession, (*request).drain),
		wire.CallOperationCancel: on(needSession, (*request).operationCancel),

		wire.CallGenerateKey:     on(needSession, (*request).generateKey),
		wire.CallGenerateKeyPair: on(needSession, (*request).generateKeyPair),
		wire.CallGenerateRandom:  on(needSession, (*request).generateRandom),
		wire.CallSeedRandom:      on(needSession, (*request).seedRandom),

		wire.CallHSMInfo:       on(needApplication, (*request).hsmInfo),
		wire.CallPartitionList: on(needApplication, (*request).partitionList),
		wire.CallStop:          on(needApplication, (*request).stop),

		wire.CallAuditRead:       on(needApplication, (*request).auditRead),
		wire.CallAuditVerify:     on(needApplication, (*request).auditVerify),
		wire.CallAuditCheckpoint: on(needApplication, (*request).auditCheckpoint),
	}
}
