package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/home"
	"tidelock.dev/tidelock/internal/harden"
	"tidelock.dev/tidelock/serve"
)

func serveCommand() *cobra.Command {
	var idleExit time.Duration
	var ready int
	var acceptRollback bool
	var profile string
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run the HSM's server until it is told to stop",
		Example: "  tidelock serve --home ~/hsm",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := homeOf(cmd)
			if err != nil {
				return err
			}
			return runServer(cmd.Context(), h, options{idleExit, ready, acceptRollback, profile})
		},
	}
	cmd.Flags().DurationVar(&idleExit, "idle-exit", 0, "leave when no application was there for so long (0: never)")
	cmd.Flags().BoolVar(&acceptRollback, "accept-rollback", false, "start though the store is older than its witness")
	cmd.Flags().StringVar(&profile, "cpu-profile", "", "file for a profile of where the server spends its time, for go tool pprof")
	cmd.Flags().IntVar(&ready, "ready-fd", -1, "descriptor that is written to and closed when the server listens")
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
	ready          int
	acceptRollback bool
	profile        string
}

func runServer(ctx context.Context, h home.Home, o options) error {
	config, err := h.ReadConfig()
	if err != nil {
		return err
	}
	level, err := config.LogLevel()
	if err != nil {
		return err
	}
	mode, err := config.SocketMode()
	if err != nil {
		return err
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	harden.Process(log)
	if err := startRSA(log); err != nil {
		return err
	}
	opened, err := h.Open(config, home.Options{
		AcceptRollback: o.acceptRollback, Server: "tidelock " + version, Memory: harden.Status, Log: log,
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
	listener, err := serve.Listen(h.Socket(), mode)
	if err != nil {
		return err
	}
	defer os.Remove(h.Socket())
	administration, err := serve.Listen(h.AdminSocket(), 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(h.AdminSocket())
	server := serve.New(serve.Config{
		HSM: opened.HSM, Settings: serve.Settings{AllowedUIDs: config.Socket.AllowedUIDs}, IdleExit: o.idleExit, Log: log,
	})
	log.Info("serving", "home", h.Dir, "socket", h.Socket(), "version", version)
	if o.ready >= 0 {
		f := os.NewFile(uintptr(o.ready), "ready")
		if _, err := f.Write([]byte{1}); err != nil {
			return fmt.Errorf("telling that the server is ready: %w", err)
		}
		f.Close()
	}
	err = server.Serve(ctx, listener, administration)
	log.Info("stopped")
	return err
}
