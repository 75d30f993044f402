// Package serve brings an HSM to its users on this host: it listens on two Unix
// sockets, one for applications and one for administrators, turns what arrives into
// frames for the hsm package and keeps the connections honest.
//
// It may import hsm, wire, cryptoki and the standard library.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tidelock.dev/tidelock/hsm"
)

// Config is what a Server needs.
type Config struct {
	HSM *hsm.HSM
	// Settings are those at the start; Set changes them.
	Settings Settings
	// IdleExit ends the server when no connection was there for so long; 0 never.
	IdleExit time.Duration
	// Alive, unless nil, is called every AliveInterval while the server goes on.
	Alive func()
	Log   *slog.Logger
}

// Settings are what may change while the server runs.
type Settings struct {
	// AllowedUIDs are the users who may connect beside root and the server's own
	// user. None lets everybody in whom the socket's permissions let in.
	AllowedUIDs []uint32
	// AdministratorUIDs are those of the administrators' socket, by the same rule.
	AdministratorUIDs []uint32
	// MaxConnections bounds the connections of all applications; 0 is DefaultConnections.
	MaxConnections int
	// MaxPerUser bounds those of one user, root too; 0 is MaxConnections.
	MaxPerUser int
}

// DefaultConnections is the bound of a server that is told none.
const DefaultConnections = 4096

// AliveInterval is how often Config.Alive is called.
const AliveInterval = 2 * time.Second

// maxAdministrators bounds the connections of the administrators' socket, which no
// application can use up.
const maxAdministrators = 64

// Server serves local connections.
type Server struct {
	config   Config
	log      *slog.Logger
	timing   timing
	settings atomic.Pointer[Settings]
	last     atomic.Uint64 // the newest connection's number

	mu             sync.Mutex
	conns          map[*connection]struct{} // guarded by mu
	perUser        map[uint32]int           // guarded by mu; connections of applications
	applications   int                      // guarded by mu; their sum
	administrators int                      // guarded by mu
	busy           time.Time                // guarded by mu; when the last connection ended, or the server began
}

// New makes a Server.
func New(config Config) *Server {
	s := &Server{
		config: config, log: config.Log, timing: standardTiming,
		conns: make(map[*connection]struct{}), perUser: make(map[uint32]int), busy: time.Now(),
	}
	s.Set(config.Settings)
	return s
}

// Set changes the settings for connections that come from now on. Those that are there
// stay, whatever the new ones say.
func (s *Server) Set(settings Settings) {
	if settings.MaxConnections == 0 {
		settings.MaxConnections = DefaultConnections
	}
	if settings.MaxPerUser == 0 {
		settings.MaxPerUser = settings.MaxConnections
	}
	s.settings.Store(&settings)
}

// Connections are how many connections there are, those of administrators included.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Serve accepts connections until ctx ends, the idle time is over, or the HSM can no
// longer serve; it then closes the listeners and all connections, those with a request
// under way after its reply, and returns nil, or the HSM's failure. administration may
// be nil: there is no administrators' socket then.
func (s *Server) Serve(ctx context.Context, applications, administration *net.UnixListener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	wg.Go(func() { s.tick(ctx, stop) })
	wg.Go(func() { s.tend(ctx) })
	context.AfterFunc(ctx, func() {
		s.config.HSM.Shutdown()
		applications.Close()
		if administration != nil {
			administration.Close()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.end()
		}
	})
	if administration != nil {
		wg.Go(func() { s.accept(ctx, stop, administration, true, &wg) })
	}
	s.accept(ctx, stop, applications, false, &wg)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, errIdle) {
		return cause
	}
	return nil
}

// accept takes connections from one listener until ctx ends.
func (s *Server) accept(ctx context.Context, stop context.CancelCauseFunc, l *net.UnixListener, administrator bool, wg *sync.WaitGroup) {
	for {
		socket, err := l.AcceptUnix()
		if ctx.Err() != nil {
			if err == nil {
				socket.Close()
			}
			return
		}
		if err != nil {
			// Out of descriptors, most likely: those who are connected go on, and the
			// next attempt may find one.
			s.log.Error("accept", "cause", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		wg.Go(func() { s.handle(ctx, socket, administrator, stop) })
	}
}

var errIdle = errors.New("no application was there for the idle time")

// tick does what goes by the clock: working frames, and the end of an idle
// server. One ticker serves all connections, so that a call pays nothing for it.
func (s *Server) tick(ctx context.Context, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(s.timing.working)
	defer ticker.Stop()
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case <-s.config.HSM.Stopped():
			stop(nil)
			return
		case now = <-ticker.C:
		}
		// A witness that cannot be written does not keep the HSM from serving: it only
		// notices less.
		if err := s.config.HSM.See(); err != nil {
			s.log.Error("the witness", "cause", err)
		}
		if s.config.Alive != nil {
			s.config.Alive()
		}
		s.mu.Lock()
		idle := len(s.conns) == 0 && s.config.IdleExit > 0 && time.Since(s.busy) >= s.config.IdleExit
		working := make([]*connection, 0, len(s.conns))
		for c := range s.conns {
			working = append(working, c)
		}
		s.mu.Unlock()
		if idle {
			s.log.Info("leaving", "cause", errIdle)
			stop(errIdle)
			return
		}
		for _, c := range working {
			c.tick(now)
		}
	}
}

// tend lets the HSM look after itself now and then, beside the ticker: overwriting what was
// deleted may take longer than a connection or a watchdog waits.
func (s *Server) tend(ctx context.Context) {
	ticker := time.NewTicker(s.timing.tend)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// A store that failed ends the server by way of the next call that needs it.
		if err := s.config.HSM.Tend(); err != nil {
			s.log.Error("tending the HSM", "cause", err)
		}
	}
}

// handle serves one connection in the goroutine that it is called in.
func (s *Server) handle(ctx context.Context, socket *net.UnixConn, administrator bool, stop context.CancelCauseFunc) {
	defer socket.Close()
	caller, err := s.admit(socket, administrator)
	if err != nil {
		s.log.Warn("connection refused", "cause", err)
		return
	}
	log := s.log.With("connection", caller.Connection)
	c := newConnection(socket, s.config.HSM.Connect(caller), s.timing, log)
	// Serve closes what is in the set when ctx ends; what comes later sees the end here.
	if err := s.enter(ctx, c, caller); err != nil {
		if ctx.Err() == nil {
			log.Warn("connection refused", "cause", err, "uid", caller.UID, "pid", caller.PID)
		}
		return
	}
	defer s.leave(c, caller)
	log.Debug("connected", "uid", caller.UID, "pid", caller.PID, "administrator", administrator)
	if err := c.run(); err != nil && ctx.Err() == nil {
		log.Info("connection ended", "uid", caller.UID, "pid", caller.PID, "cause", err)
	}
	if err := s.config.HSM.Failed(); err != nil {
		// What the store holds is no longer known; whoever restarts the server reads it
		// from the disk again.
		stop(fmt.Errorf("the HSM stops: %w", err))
	}
}

// enter puts a connection into the set, if there is room for it.
func (s *Server) enter(ctx context.Context, c *connection, caller hsm.Caller) error {
	settings := s.settings.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case caller.Administrator:
		if s.administrators >= maxAdministrators {
			return fmt.Errorf("%d connections of administrators are as many as may be", s.administrators)
		}
		s.administrators++
	case s.applications >= settings.MaxConnections:
		return fmt.Errorf("%d connections are as many as may be (limits.connections)", s.applications)
	case s.perUser[caller.UID] >= settings.MaxPerUser:
		return fmt.Errorf("%d connections of one user are as many as may be (limits.connections_per_user)", s.perUser[caller.UID])
	default:
		s.applications++
		s.perUser[caller.UID]++
	}
	s.conns[c] = struct{}{}
	return nil
}

// leave ends a connection and its link.
func (s *Server) leave(c *connection, caller hsm.Caller) {
	c.link.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.busy = time.Now()
	if caller.Administrator {
		s.administrators--
		return
	}
	s.applications--
	if s.perUser[caller.UID]--; s.perUser[caller.UID] == 0 {
		delete(s.perUser, caller.UID)
	}
}
