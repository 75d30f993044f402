module tidelock.dev/tidelock

go 1.26
