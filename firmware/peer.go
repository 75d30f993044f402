package firmware

import "tidelock.dev/tidelock/cryptoki"

// Levels of what an HSM meets, at which the rules below change.
var (
	client103   = Level{10, 3, 0} // first that knows partition versions
	client102   = Level{10, 2, 0} // last with the old secure channel
	backupG5    = Level{6, 28, 0}
	backup7     = Level{7, 7, 1}
	pedOldest   = Level{2, 7, 1} // for any 7.x HSM
	pedBlock    = Level{2, 7, 4} // with an external power block
	pedBlockEnd = Level{2, 8, 0}
	pedUSB      = Level{2, 9, 0} // powered by USB
)

// ClientAccess tells whether a client may open, initialize or log in to a partition
// of a version. One that does not know versions still sees the slot of a version 1
// partition, but to use it is CKR_ACCESS_ID_INVALID.
func ClientAccess(client Level, version uint8) error {
	if version > 0 && !KnowsVersions(client) {
		return cryptoki.Errorf(cryptoki.CKR_ACCESS_ID_INVALID, "client %v cannot use a partition of version %d, which needs client %v", client, version, client103)
	}
	return nil
}

// CanCreateVersion tells whether an HSM of a level makes a partition when the caller
// has named a version.
func (l Level) CanCreateVersion(version uint8) error {
	if !l.Has(PartitionVersions) {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "partitions have no version at firmware %v; they have from %v on", l, versions)
	}
	if version > 1 {
		return cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "a partition is of version 0 or 1, not %d", version)
	}
	return nil
}

// CanUsePED tells whether an HSM of a level goes on with a PED. From 7.7.0 it takes
// 2.7.4 and newer of the 2.7 line, and 2.9.0 and newer. The error is
// CKR_PED_UNSUPPORTED.
func (l Level) CanUsePED(ped Level) error {
	switch {
	case !l.AtLeast(generation7):
		return nil
	case l.Has(PEDCheck):
		if ped.AtLeast(pedUSB) || ped.AtLeast(pedBlock) && !ped.AtLeast(pedBlockEnd) {
			return nil
		}
		return cryptoki.Errorf(cryptoki.CKR_PED_UNSUPPORTED, "PED firmware %v is too old for firmware %v: update a 2.7 PED to %v, a 2.8 one to %v", ped, l, pedBlock, pedUSB)
	case ped.AtLeast(pedOldest):
		return nil
	}
	return cryptoki.Errorf(cryptoki.CKR_PED_UNSUPPORTED, "PED firmware %v is too old for firmware %v, which needs %v", ped, l, pedOldest)
}

// SecureChannelOf is the form of the secure channel between a client and an HSM of a
// level behind appliance software: OldSecureChannel or SecureChannel. Where the three
// have none in common, the error is CKR_FUNCTION_NOT_SUPPORTED.
func SecureChannelOf(l, appliance, client Level) (Feature, error) {
	switch {
	case l.Has(SecureChannel):
		if !appliance.AtLeast(versions) {
			return "", cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "the secure channel needs appliance software %v, not %v", versions, appliance)
		}
		if !client.AtLeast(client103) {
			return "", cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "the secure channel of firmware %v needs client %v, not %v", l, client103, client)
		}
		return SecureChannel, nil
	case client.AtLeast(client103):
		return "", cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED, "the secure channel of firmware %v needs client %v or older, not %v", l, client102, client)
	}
	return OldSecureChannel, nil
}

// A BackupKind is a kind of backup device.
type BackupKind uint8

const (
	BackupG5   BackupKind = iota + 1 // the older device, firmware 6
	BackupHSM7                       // the newer device, firmware 7
)

// CanBackUp tells whether a backup device takes the keys of an HSM of a level. client
// is the client's software and rbs that of the remote backup service, zero when the
// device is attached to the client. The error is CKR_OPERATION_NOT_ALLOWED.
func (l Level) CanBackUp(kind BackupKind, device, client, rbs Level) error {
	if !l.AtLeast(versions) {
		return nil
	}
	needs := backupG5
	if kind == BackupHSM7 {
		needs = backup7
	}
	switch {
	case !device.AtLeast(needs):
		return cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "a backup device of firmware %v only restores to firmware %v; to back it up, update the device to %v", device, l, needs)
	case !client.AtLeast(client103):
		return cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "a backup of firmware %v needs client %v, not %v", l, client103, client)
	case rbs != (Level{}) && !rbs.AtLeast(client103):
		return cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "a backup of firmware %v needs a remote backup service of %v, not %v", l, client103, rbs)
	}
	return nil
}

// CanRestore tells whether what was backed up from a level may be restored to l. What
// a newer object format holds never goes to an older one. The error is
// CKR_OPERATION_NOT_ALLOWED.
func (l Level) CanRestore(backedUpFrom Level) error {
	if backedUpFrom.AtLeast(versions) && !l.AtLeast(versions) {
		return cryptoki.Errorf(cryptoki.CKR_OPERATION_NOT_ALLOWED, "a backup of firmware %v cannot be restored to %v, which protects keys less", backedUpFrom, l)
	}
	return nil
}
