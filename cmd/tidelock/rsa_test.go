package main

import (
	"log/slog"
	"strings"
	"testing"

	"tidelock.dev/tidelock/mech"
)

func TestStartRSA(t *testing.T) {
	defer mech.UseRSA("go")
	var log strings.Builder
	t.Setenv("TIDELOCK_RSA", "go")
	if err := startRSA(slog.New(slog.NewTextHandler(&log, nil))); err != nil || !strings.Contains(log.String(), "by=Go") {
		t.Errorf("go: %v, log %q", err, log.String())
	}
	t.Setenv("TIDELOCK_RSA", "openssl")
	if err := startRSA(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), `"openssl"`) || !strings.Contains(err.Error(), "TIDELOCK_RSA") {
		t.Errorf("openssl: %v", err)
	}
}
