// Package serve brings an HSM to its users on this host: it listens on a Unix
// socket, turns what arrives into frames for the hsm package and keeps the
// connections honest.
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
	"time"

	"tidelock.dev/tidelock/hsm"
)

// Config is what a Server needs.
type Config struct {
	HSM *hsm.HSM
	// AllowedUIDs are the users who may connect beside root and the server's own
	// user. None lets everybody in whom the socket's permissions let in.
	AllowedUIDs []uint32
	// MaxConnections bounds the connections of all applications; 0 is 4096.
	MaxConnections int
	// IdleExit ends the server when no application was there for so long; 0 never.
	IdleExit time.Duration
	Log      *slog.Logger
}

// Server serves local connections.
type Server struct {
	config Config
	log    *slog.Logger
	timing timing

	mu    sync.Mutex
	conns map[*connection]struct{} // guarded by mu
	busy  time.Time                // guarded by mu; when the last connection ended, or the server began
}

// New makes a Server.
func New(config Config) *Server {
	if config.MaxConnections == 0 {
		config.MaxConnections = 4096
	}
	return &Server{config: config, log: config.Log, timing: standardTiming, conns: make(map[*connection]struct{}), busy: time.Now()}
}

// Serve accepts connections until ctx ends, the idle time is over, or the HSM can no
// longer serve; it then closes the listener and all connections, those with a request
// under way after its reply, and returns nil, nil, or the HSM's failure.
func (s *Server) Serve(ctx context.Context, l *net.UnixListener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	wg.Go(func() { s.tick(ctx, stop) })
	context.AfterFunc(ctx, func() {
		s.config.HSM.Shutdown()
		l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.end()
		}
	})
	for {
		socket, err := l.AcceptUnix()
		if ctx.Err() != nil {
			if err == nil {
				socket.Close()
			}
			break
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
		wg.Go(func() { s.handle(ctx, socket, stop) })
	}
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, errIdle) {
		return cause
	}
	return nil
}

var errIdle = errors.New("no application was there for the idle time")

// tendInterval is how often the HSM tends to its tickets.
const tendInterval = time.Hour

// tick does what goes by the clock: working frames, and the end of an idle
// server. One ticker serves all connections, so that a call pays nothing for it.
func (s *Server) tick(ctx context.Context, stop context.CancelCauseFunc) {
	ticker := time.NewTicker(s.timing.working)
	defer ticker.Stop()
	tended := time.Now()
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
		if now.Sub(tended) >= tendInterval {
			tended = now
			// A store that failed ends the server by way of the next call that needs it.
			if err := s.config.HSM.Tend(); err != nil {
				s.log.Error("tending the HSM", "cause", err)
			}
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

// handle serves one connection in the goroutine that it is called in.
func (s *Server) handle(ctx context.Context, socket *net.UnixConn, stop context.CancelCauseFunc) {
	defer socket.Close()
	caller, err := s.admit(socket)
	if err != nil {
		s.log.Warn("connection refused", "cause", err)
		return
	}
	c := newConnection(socket, s.config.HSM.Connect(caller), s.timing)
	s.mu.Lock()
	// Serve closes what is in the set when ctx ends; what comes later sees the end here.
	if ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	if len(s.conns) >= s.config.MaxConnections {
		s.mu.Unlock()
		s.log.Warn("connection refused", "cause", "there are as many as may be", "uid", caller.UID)
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		c.link.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.busy = time.Now()
		s.mu.Unlock()
	}()
	if err := c.run(); err != nil && ctx.Err() == nil {
		s.log.Info("connection ended", "uid", caller.UID, "pid", caller.PID, "cause", err)
	}
	if err := s.config.HSM.Failed(); err != nil {
		// What the store holds is no longer known; whoever restarts the server reads it
		// from the disk again.
		stop(fmt.Errorf("the HSM stops: %w", err))
	}
}
