package hsm

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

// Use is a kind of cryptographic operation with the code that it got. It names a
// mechanism and never a key.
type Use struct {
	Function  UseFunction
	Mechanism cryptoki.MechanismType // OtherMechanism where the HSM has none of that number
	Code      cryptoki.RV
}

// UseFunction is what a mechanism was used for: a mech.Function, or making keys.
type UseFunction uint8

// Functions beyond those of package mech.
const (
	UseWrap            UseFunction = 8
	UseUnwrap          UseFunction = 9
	UseDerive          UseFunction = 10
	UseGenerateKey     UseFunction = 32
	UseGenerateKeyPair UseFunction = 33
)

// String is the name in metrics.
func (f UseFunction) String() string {
	switch f {
	case UseFunction(mech.Encrypt):
		return "encrypt"
	case UseFunction(mech.Decrypt):
		return "decrypt"
	case UseFunction(mech.Digest):
		return "digest"
	case UseFunction(mech.Sign):
		return "sign"
	case UseFunction(mech.Verify):
		return "verify"
	case UseFunction(mech.SignRecover):
		return "sign_recover"
	case UseFunction(mech.VerifyRecover):
		return "verify_recover"
	case UseWrap:
		return "wrap"
	case UseUnwrap:
		return "unwrap"
	case UseDerive:
		return "derive"
	case UseGenerateKey:
		return "generate_key"
	case UseGenerateKeyPair:
		return "generate_key_pair"
	}
	return "other"
}

// OtherMechanism counts whatever the HSM has no mechanism for: callers choose the number,
// and must not fill the memory with it.
const OtherMechanism = cryptoki.MechanismType(^uint64(0))

// CallCode is a call with the code of its reply; call 0 is one that is not built.
type CallCode struct {
	Call wire.Call
	Code cryptoki.RV
}

// statistics are the counts since the server's start.
type statistics struct {
	uses  counters[Use]
	calls counters[CallCode]
}

// shards keep links that work at the same time off each other's cache line.
const shards = 16

// counter is one count, in as many parts as there are shards.
type counter [shards]struct {
	n atomic.Uint64
	_ [56]byte
}

// counters are the counts of all keys that were seen.
type counters[K comparable] struct {
	mu    sync.Mutex
	byKey map[K]*counter // guarded by mu
}

func (c *counters[K]) counter(key K) *counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = make(map[K]*counter)
	}
	n := c.byKey[key]
	if n == nil {
		n = new(counter)
		c.byKey[key] = n
	}
	return n
}

// snapshot gives all counts as they are.
func (c *counters[K]) snapshot() map[K]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[K]uint64, len(c.byKey))
	for key, n := range c.byKey {
		for i := range n {
			all[key] += n[i].n.Load()
		}
	}
	return all
}

// tallier is a link's own way to the counts. A key that the link has counted before costs
// no lock and no memory.
type tallier[K comparable] struct {
	all    *counters[K]
	shard  uint64
	last   K
	at     *atomic.Uint64
	counts map[K]*atomic.Uint64
}

func newTallier[K comparable](all *counters[K], link uint64) tallier[K] {
	return tallier[K]{all: all, shard: link % shards, counts: make(map[K]*atomic.Uint64)}
}

func (t *tallier[K]) add(key K) {
	if t.at == nil || key != t.last {
		at := t.counts[key]
		if at == nil {
			at = &t.all.counter(key)[t.shard].n
			t.counts[key] = at
		}
		t.last, t.at = key, at
	}
	t.at.Add(1)
}

// used counts one operation: with Init, or whole where it came whole.
func (l *Link) used(function UseFunction, mechanism cryptoki.MechanismType, err error) {
	use := Use{Function: function, Mechanism: mechanism}
	if err != nil {
		use.Code = cryptoki.Code(err)
	}
	// The answer is the length; the operation comes yet.
	if use.Code == cryptoki.CKR_BUFFER_TOO_SMALL {
		return
	}
	if _, known := mech.Lookup(mechanism); !known {
		use.Mechanism = OtherMechanism
	}
	if function.String() == "other" {
		use.Function = 0
	}
	l.uses.add(use)
}

// called counts one call.
func (l *Link) called(call wire.Call, code cryptoki.RV) {
	if calls[call] == nil {
		call = 0
	}
	l.counts.add(CallCode{call, code})
}

// Statistics are counts since the server's start, and how full the partitions are.
type Statistics struct {
	Uptime       uint64 // seconds
	Applications uint64
	Connections  uint64
	Uses         map[Use]uint64
	Calls        map[CallCode]uint64
	Partitions   []PartitionStatistics
	// AuditEntries is how many entries the audit log has, AuditLimit with how many it is
	// full.
	AuditEntries, AuditLimit uint64
}

// PartitionStatistics are those of one partition, in order of slots; sizes are in bytes.
type PartitionStatistics struct {
	Slot                           uint64
	Label                          string
	Sessions, Objects, Used, Total uint64
}

// Statistics gives all that is counted.
func (h *HSM) Statistics() (Statistics, error) {
	now := h.state.Load()
	s := Statistics{
		Uptime: uint64(h.now().Sub(h.started).Seconds()), Applications: uint64(h.applications.count()),
		Connections: uint64(h.links.Load()), Uses: h.statistics.uses.snapshot(), Calls: h.statistics.calls.snapshot(),
	}
	log, err := h.auditUsage()
	if err != nil {
		return Statistics{}, err
	}
	s.AuditEntries, s.AuditLimit = log.Entries(), log.Limit
	for _, slot := range slices.Sorted(maps.Keys(now.partitions)) {
		p := now.partitions[slot]
		usage, err := p.Usage()
		if err != nil {
			return Statistics{}, err
		}
		sessions, _ := p.SessionCounts()
		s.Partitions = append(s.Partitions, PartitionStatistics{
			Slot: uint64(slot), Label: p.Label(), Sessions: sessions, Objects: usage.Objects, Used: usage.Used, Total: p.Identity().Size,
		})
	}
	return s, nil
}

// statistics answers whoever may stop the server, or came by the administrators' socket:
// what others do is not an application's business.
func (r *request) statistics(_ *wire.StatisticsRequest, p *wire.StatisticsReply) error {
	if !r.caller.Owner && !r.caller.Administrator {
		return cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "uid %d may not see the statistics", r.caller.UID)
	}
	s, err := r.hsm.Statistics()
	if err != nil {
		return err
	}
	*p = wire.StatisticsReply{UptimeSeconds: s.Uptime, Applications: s.Applications, Connections: s.Connections}
	for _, use := range slices.SortedFunc(maps.Keys(s.Uses), func(a, b Use) int {
		return cmp.Or(cmp.Compare(a.Function, b.Function), cmp.Compare(a.Mechanism, b.Mechanism), cmp.Compare(a.Code, b.Code))
	}) {
		p.UseFunctions = append(p.UseFunctions, uint64(use.Function))
		p.UseMechanisms = append(p.UseMechanisms, uint64(use.Mechanism))
		p.UseCodes = append(p.UseCodes, uint64(use.Code))
		p.UseCounts = append(p.UseCounts, s.Uses[use])
	}
	for _, call := range slices.SortedFunc(maps.Keys(s.Calls), func(a, b CallCode) int {
		return cmp.Or(cmp.Compare(a.Call, b.Call), cmp.Compare(a.Code, b.Code))
	}) {
		p.Calls = append(p.Calls, uint64(call.Call))
		p.CallCodes = append(p.CallCodes, uint64(call.Code))
		p.CallCounts = append(p.CallCounts, s.Calls[call])
	}
	for _, part := range s.Partitions {
		p.Slots = append(p.Slots, part.Slot)
		p.Labels = append(p.Labels, part.Label)
		p.Sessions = append(p.Sessions, part.Sessions)
		p.Objects = append(p.Objects, part.Objects)
		p.UsedBytes = append(p.UsedBytes, part.Used)
		p.TotalBytes = append(p.TotalBytes, part.Total)
	}
	return nil
}
