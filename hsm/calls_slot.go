package hsm

import (
	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/wire"
)

// Protocol is the version of the calls that this server speaks.
const Protocol = 1

const (
	manufacturer = "Tidelock"
	model        = "Tidelock HSM"
)

func (r *request) hello(q *wire.HelloRequest, p *wire.HelloReply) error {
	if q.ProtocolMin > Protocol || q.ProtocolMax < Protocol {
		return cryptoki.Errorf(cryptoki.CKR_FUNCTION_NOT_SUPPORTED,
			"the caller speaks protocol %d to %d, this server %d", q.ProtocolMin, q.ProtocolMax, Protocol)
	}
	if r.app != nil {
		return cryptoki.Errorf(cryptoki.CKR_CRYPTOKI_ALREADY_INITIALIZED, "a second Hello on one connection")
	}
	level, err := firmware.ParseClient(q.ClientLevel)
	if err != nil {
		return err
	}
	app, err := r.hsm.applications.join(q.Application, q.Secret, r.caller, q.Program, level)
	if err != nil {
		return err
	}
	r.Link.app = app
	*p = wire.HelloReply{
		Protocol: Protocol, Application: app.number, Boot: r.hsm.boot,
		MaxFrame: wire.MaxFrame, Server: r.hsm.server,
	}
	return nil
}

func (r *request) goodbye(*wire.GoodbyeRequest, *wire.GoodbyeReply) error {
	r.hsm.applications.finalize(r.app)
	return nil
}

func (r *request) slotList(_ *wire.SlotListRequest, p *wire.SlotListReply) error {
	// Every slot holds a partition: there is no reader to take a token out of.
	p.Slots = r.visible()
	if r.caller.Administrator {
		p.Slots = append(p.Slots, wire.AdminSlot)
	}
	return nil
}

func (r *request) slotInfo(q *wire.SlotInfoRequest, p *wire.SlotInfoReply) error {
	if _, err := r.partition(q.Slot); err != nil {
		return err
	}
	level := r.hsm.state.Load().record.level
	description := "Tidelock partition slot"
	if q.Slot == wire.AdminSlot {
		description = "Tidelock administration slot"
	}
	*p = wire.SlotInfoReply{
		Description: description, Manufacturer: manufacturer,
		Flags:         uint64(cryptoki.CKF_TOKEN_PRESENT),
		FirmwareMajor: level.Major, FirmwareMinor: level.Minor,
	}
	return nil
}

func (r *request) tokenInfo(q *wire.TokenInfoRequest, p *wire.TokenInfoReply) error {
	part, err := r.partition(q.Slot)
	if err != nil {
		return err
	}
	flags, err := part.TokenFlags()
	if err != nil {
		return err
	}
	minPIN, maxPIN := part.PINLengths()
	sessions, rw := part.SessionCounts()
	usage, err := part.Usage()
	if err != nil {
		return err
	}
	total := part.Identity().Size
	free := total - min(total, usage.Used)
	level := r.hsm.state.Load().record.level
	*p = wire.TokenInfoReply{
		Label: part.Label(), Manufacturer: manufacturer, Model: model, Serial: part.Serial(),
		Flags: uint64(flags),
		// 0 is "effectively infinite" (CK_EFFECTIVELY_INFINITE): Java takes all ones for
		// a negative number.
		MaxSessions: 0, Sessions: sessions, MaxRWSessions: 0, RWSessions: rw,
		MinPIN: uint64(minPIN), MaxPIN: uint64(maxPIN),
		// One memory serves both kinds of objects.
		TotalPublic: total, FreePublic: free, TotalPrivate: total, FreePrivate: free,
		FirmwareMajor: level.Major, FirmwareMinor: level.Minor,
		UTCTime: r.hsm.now().UTC().Format("20060102150405") + "00",
	}
	return nil
}

func (r *request) mechanismList(q *wire.MechanismListRequest, p *wire.MechanismListReply) error {
	part, err := r.partition(q.Slot)
	if err != nil {
		return err
	}
	for _, m := range part.Mechanisms() {
		p.Mechanisms = append(p.Mechanisms, uint64(m))
	}
	return nil
}

func (r *request) mechanismInfo(q *wire.MechanismInfoRequest, p *wire.MechanismInfoReply) error {
	part, err := r.partition(q.Slot)
	if err != nil {
		return err
	}
	m, err := part.Mechanism(cryptoki.MechanismType(q.Mechanism))
	if err != nil {
		return err
	}
	*p = wire.MechanismInfoReply{MinKeySize: m.Min, MaxKeySize: m.Max, Flags: uint64(m.Flags)}
	return nil
}
