package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/home"
	"tidelock.dev/tidelock/internal/harden"
	"tidelock.dev/tidelock/internal/systemd"
	"tidelock.dev/tidelock/serve"
)

func serveCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the HSM's server until it is told to stop",
		Long: `Run the HSM's server until it is told to stop.

SIGTERM and SIGINT end it after the requests under way; a second one ends it at
once. SIGHUP makes it read tidelock.toml again.`,
		Example: "  tidelock serve --home ~/hsm",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := homeOf(cmd)
			if err != nil {
				return err
			}
			o.idleExitSet = cmd.Flags().Changed("idle-exit")
			return runServer(cmd.Context(), h, o)
		},
	}
	cmd.Flags().DurationVar(&o.idleExit, "idle-exit", 0, "leave when no application was there for so long (0: never)")
	cmd.Flags().BoolVar(&o.acceptRollback, "accept-rollback", false, "start though the store is older than its witness")
	cmd.Flags().StringVar(&o.profile, "cpu-profile", "", "file for a profile of where the server spends its time, for go tool pprof")
	cmd.Flags().IntVar(&o.ready, "ready-fd", -1, "descriptor that is written to and closed when the server listens")
	cmd.Flags().Lookup("ready-fd").Hidden = true
	return cmd
}

// homeOf finds the home that --home or the environment names.
func homeOf(cmd *cobra.Command) (home.Home, error) {
	dir, err := cmd.Flags().GetString("home")
	if err != nil {
		return home.Home{}, err
	}
	return home.Find(dir)
}

// options are serve's flags.
type options struct {
	idleExit       time.Duration
	idleExitSet    bool // else the configuration says it
	ready          int
	acceptRollback bool
	profile        string
}

func runServer(ctx context.Context, h home.Home, o options) error {
	config, err := h.ReadConfig()
	if err != nil {
		return err
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The second signal finds nobody who waits for it, and ends the process.
	context.AfterFunc(ctx, stop)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	d := &daemon{home: h, config: config, level: new(slog.LevelVar), notifier: systemd.NewNotifier()}
	if err := d.startLog(); err != nil {
		return err
	}
	harden.Process(d.log)
	relaxGarbage()
	preferHugePages()
	if err := startRSA(d.log); err != nil {
		return err
	}
	opened, err := h.Open(config, home.Options{
		AcceptRollback: o.acceptRollback, Server: "tidelock " + version, Memory: harden.Status, Log: d.log,
	})
	if err != nil {
		return err
	}
	defer opened.Close()
	if o.profile != "" {
		f, err := os.OpenFile(o.profile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("the profile: %w", err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("the profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	if err := d.listen(); err != nil {
		return err
	}
	defer d.unlink()
	idleExit, err := config.IdleExit()
	if err != nil {
		return err
	}
	if o.idleExitSet {
		idleExit = o.idleExit
	}
	alive, err := d.watchdog()
	if err != nil {
		return err
	}
	d.server = serve.New(serve.Config{HSM: opened.HSM, Settings: settingsOf(config), IdleExit: idleExit, Alive: alive, Log: d.log})
	d.opened = opened
	if err := d.scrape(ctx, config.Metrics.Listen); err != nil {
		return err
	}
	d.log.Info("serving", "home", h.Dir, "socket", h.Socket(), "version", version)
	d.tell(d.notifier.Ready("serves"))
	if o.ready >= 0 {
		f := os.NewFile(uintptr(o.ready), "ready")
		if _, err := f.Write([]byte{1}); err != nil {
			return fmt.Errorf("telling that the server is ready: %w", err)
		}
		f.Close()
	}
	done := make(chan struct{})
	defer close(done)
	go d.reloadOn(ctx, hangup, done)
	context.AfterFunc(ctx, func() { d.tell(d.notifier.Stopping()) })
	err = d.server.Serve(ctx, d.applications, d.administration)
	d.log.Info("stopped")
	return err
}

// daemon is a running server with what is around it.
type daemon struct {
	home     home.Home
	config   home.Config // used by the start, then by reload alone
	log      *slog.Logger
	level    *slog.LevelVar
	notifier systemd.Notifier
	server   *serve.Server

	applications   *net.UnixListener
	administration *net.UnixListener
	opened         *home.Opened
	scraped        string // the address at which Prometheus asks
	stopScrape     func()

	// passed says that the sockets are systemd's, who made them and keeps them.
	passed bool
}

func (d *daemon) startLog() error {
	level, err := d.config.LogLevel()
	if err != nil {
		return err
	}
	inJSON, err := d.config.LogJSON()
	if err != nil {
		return err
	}
	d.level.Set(level)
	options := &slog.HandlerOptions{Level: d.level}
	var handler slog.Handler = slog.NewTextHandler(os.Stderr, options)
	if inJSON {
		handler = slog.NewJSONHandler(os.Stderr, options)
	}
	d.log = slog.New(handler)
	return nil
}

// The names of the sockets that systemd may pass.
const (
	applicationsName   = "tidelock.sock"
	administrationName = "admin.sock"
)

// listen takes systemd's sockets, or makes its own.
func (d *daemon) listen() error {
	passed, err := systemd.Listeners()
	if err != nil {
		return err
	}
	if len(passed) > 0 {
		d.passed = true
		d.applications, d.administration = passed[applicationsName], passed[administrationName]
		if d.applications == nil || d.administration == nil || len(passed) != 2 {
			return fmt.Errorf("systemd passed %d sockets: it must be two, named %s and %s", len(passed), applicationsName, administrationName)
		}
		return nil
	}
	mode, err := d.config.SocketMode()
	if err != nil {
		return err
	}
	adminMode, err := d.config.AdminMode()
	if err != nil {
		return err
	}
	if d.applications, err = serve.Listen(d.home.Socket(), mode); err != nil {
		return err
	}
	if d.administration, err = serve.Listen(d.home.AdminSocket(), adminMode); err != nil {
		d.applications.Close()
		os.Remove(d.home.Socket())
	}
	return err
}

// unlink removes the sockets, unless they are systemd's.
func (d *daemon) unlink() {
	if !d.passed {
		os.Remove(d.home.Socket())
		os.Remove(d.home.AdminSocket())
	}
}

// watchdog returns what the server calls while it goes on; nil where nobody waits for it.
func (d *daemon) watchdog() (alive func(), err error) {
	interval, err := systemd.Watchdog()
	if err != nil || interval == 0 {
		return nil, err
	}
	if interval < 2*serve.AliveInterval {
		return nil, fmt.Errorf("WatchdogSec=%v is too short: the server shows that it is alive every %v", interval, serve.AliveInterval)
	}
	return func() { d.tell(d.notifier.Alive()) }, nil
}

// tell logs that systemd could not be told; the server goes on.
func (d *daemon) tell(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		d.log.Warn("notification", "cause", err)
	}
}
