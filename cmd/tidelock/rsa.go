package main

import (
	"fmt"
	"log/slog"
	"os"

	"tidelock.dev/tidelock/mech"
)

// startRSA chooses what private RSA keys work in: TIDELOCK_RSA says go or libcrypto,
// and without it libcrypto is taken where it is installed.
func startRSA(log *slog.Logger) error {
	if err := mech.UseRSA(os.Getenv("TIDELOCK_RSA")); err != nil {
		return fmt.Errorf("TIDELOCK_RSA: %w", err)
	}
	log.Info("private RSA keys", "by", mech.RSAProvider())
	return nil
}
