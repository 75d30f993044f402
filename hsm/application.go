package hsm

import (
	"crypto/subtle"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/firmware"
	"tidelock.dev/tidelock/partition"
)

// Caller is what a link knows of the other side before it says anything.
type Caller struct {
	Link LinkKind
	// UID is the peer's user id on a local link.
	UID uint32
	// PID is for the log: it is 0 across pid namespaces, and is recycled.
	PID int32
	// Owner says that the peer runs as the server's own user or as root.
	Owner bool
	// Administrator says that the link came by the administrators' socket.
	Administrator bool
	// Connection is the link's number, for the log.
	Connection uint64
}

// LinkKind is how a caller reached the HSM.
type LinkKind uint8

// LinkLocal is a Unix socket on this host.
const LinkLocal LinkKind = 1

// application is one process that uses the HSM: PKCS#11's application, which
// shares sessions, login and session objects among its connections.
type application struct {
	number  uint64
	id      [16]byte
	secret  [16]byte
	uid     uint32
	program string
	// level is that of the client's software.
	level firmware.Level
	// administrator says that its links come by the administrators' socket, owner that
	// they are the server's owner's.
	administrator, owner bool

	links int // guarded by applications.mu

	ended atomic.Bool // read by every call, set under mu

	mu      sync.Mutex
	members map[cryptoki.SlotID]membership // guarded by mu
}

// membership is a member with what it is a member of.
type membership struct {
	partition *partition.Partition
	*partition.Member
}

// applications is the set of those that are connected.
type applications struct {
	mu   sync.Mutex
	byID map[[16]byte]*application // guarded by mu
	last atomic.Uint64
	// shutdown says that links end because the server does.
	shutdown atomic.Bool
}

// maxLinks bounds the connections of one application. Each may have a frame of
// 1 MiB under way; libtidelock.so opens at most 512.
const maxLinks = 512

// join finds or creates the application of an id for one more link.
func (a *applications) join(id, secret [16]byte, caller Caller, program string, level firmware.Level) (*application, error) {
	if id == ([16]byte{}) || secret == ([16]byte{}) {
		return nil, cryptoki.Errorf(cryptoki.CKR_ARGUMENTS_BAD, "an application needs an id and a secret")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	app := a.byID[id]
	if app == nil {
		app = &application{
			number: a.last.Add(1), id: id, secret: secret, uid: caller.UID, program: program, level: level, administrator: caller.Administrator, owner: caller.Owner,
			members: make(map[cryptoki.SlotID]membership),
		}
		a.byID[id] = app
	}
	if subtle.ConstantTimeCompare(app.secret[:], secret[:]) != 1 || app.uid != caller.UID {
		return nil, cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "uid %d brought another secret or user for application %d", caller.UID, app.number)
	}
	if app.administrator != caller.Administrator {
		return nil, cryptoki.Errorf(cryptoki.CKR_ACTION_PROHIBITED, "application %d came by the other socket", app.number)
	}
	if app.links >= maxLinks {
		return nil, cryptoki.Errorf(cryptoki.CKR_DEVICE_MEMORY, "application %d has %d connections", app.number, app.links)
	}
	app.links++
	return app, nil
}

// leave takes one link away; the application ends with its last.
func (a *applications) leave(app *application) {
	a.mu.Lock()
	app.links--
	over := app.links == 0
	if over && a.byID[app.id] == app {
		delete(a.byID, app.id)
	}
	a.mu.Unlock()
	if over {
		app.end(a.shutdown.Load())
	}
}

// finalize ends the application at once, whatever links it still has.
func (a *applications) finalize(app *application) {
	a.mu.Lock()
	if a.byID[app.id] == app {
		delete(a.byID, app.id)
	}
	a.mu.Unlock()
	app.end(false)
}

func (a *applications) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.byID)
}

// end closes all that the application has open. keepLogin says that it may come back
// to the next server with its tickets.
func (app *application) end(keepLogin bool) {
	app.mu.Lock()
	app.ended.Store(true)
	members := app.members
	app.members = nil
	app.mu.Unlock()
	for _, m := range members {
		m.Leave(keepLogin)
	}
}

// member returns the application's standing in the partition of a slot.
func (app *application) member(slot cryptoki.SlotID, p *partition.Partition, caller Caller) (*partition.Member, error) {
	app.mu.Lock()
	defer app.mu.Unlock()
	if app.ended.Load() {
		return nil, cryptoki.CKR_CRYPTOKI_NOT_INITIALIZED
	}
	m := app.members[slot]
	if m.partition != p {
		m = membership{p, p.Join(partition.Actor{
			Application: app.number, ID: app.id, Secret: app.secret, UID: app.uid, PID: caller.PID, Program: app.program,
		})}
		app.members[slot] = m
	}
	return m.Member, nil
}

// caller is the application as assignments see it.
func (app *application) caller() Caller {
	return Caller{UID: app.uid, Owner: app.owner, Administrator: app.administrator}
}

// expel ends what the application has open in a slot.
func (app *application) expel(slot cryptoki.SlotID) {
	app.mu.Lock()
	m, there := app.members[slot]
	delete(app.members, slot)
	app.mu.Unlock()
	if there {
		m.Expel()
	}
}

// all are the applications that are connected.
func (a *applications) all() []*application {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.byID))
}
