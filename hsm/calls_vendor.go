package hsm

import "tidelock.dev/tidelock/wire"

// firmwareVersion is CA_GetFirmwareVersion: the level with its patch, for which
// CK_SLOT_INFO has no room.
func (r *request) firmwareVersion(q *wire.FirmwareVersionRequest, p *wire.FirmwareVersionReply) error {
	if _, err := r.usable(q.Slot); err != nil {
		return err
	}
	level := r.hsm.state.Load().record.level
	*p = wire.FirmwareVersionReply{Major: level.Major, Minor: level.Minor, Patch: level.Patch}
	return nil
}
