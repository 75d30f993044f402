package main

import (
	"context"
	"fmt"
	"net"

	"tidelock.dev/tidelock/metrics"
)

// scrape lets Prometheus ask for counts at an address of this host until ctx ends, and no
// longer at the address of before. An empty address is none. When the new address cannot be
// had the old one stays.
func (d *daemon) scrape(ctx context.Context, address string) error {
	if address == d.scraped {
		return nil
	}
	stop := func() {}
	if address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		d.log.Info("metrics", "address", l.Addr().String())
		ctx, cancel := context.WithCancel(ctx)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			metrics.Serve(ctx, l, d.opened.HSM, d.log)
		}()
		stop = func() {
			cancel()
			<-closed
		}
	}
	if d.stopScrape != nil {
		d.stopScrape()
	}
	d.scraped, d.stopScrape = address, stop
	return nil
}
