// Package metrics tells Prometheus what an HSM does: how often, by mechanism and code,
// and how full partitions are. No key, label of a key or user is in it.
//
// It may import hsm, wire, cryptoki, the Prometheus client and the standard library.
package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tidelock.dev/tidelock/hsm"
)

// Source is what is measured.
type Source interface {
	Statistics() (hsm.Statistics, error)
}

// collector reads the source's counts when Prometheus asks.
type collector struct{ source Source }

var (
	operations = prometheus.NewDesc("tidelock_operations_total",
		"Cryptographic operations and key generations since the start.", []string{"function", "mechanism", "code"}, nil)
	calls = prometheus.NewDesc("tidelock_calls_total",
		"Calls of the wire protocol since the start.", []string{"call", "code"}, nil)
	applications = prometheus.NewDesc("tidelock_applications", "Applications that are connected.", nil, nil)
	connections  = prometheus.NewDesc("tidelock_connections", "Connections.", nil, nil)
	uptime       = prometheus.NewDesc("tidelock_uptime_seconds", "Seconds since the start.", nil, nil)
	sessions     = prometheus.NewDesc("tidelock_partition_sessions", "Open sessions.", partitionLabels, nil)
	objects      = prometheus.NewDesc("tidelock_partition_objects", "Token objects.", partitionLabels, nil)
	used         = prometheus.NewDesc("tidelock_partition_used_bytes", "Room that objects take.", partitionLabels, nil)
	total        = prometheus.NewDesc("tidelock_partition_size_bytes", "Room for objects.", partitionLabels, nil)
	entries      = prometheus.NewDesc("tidelock_audit_entries", "Entries of the audit log.", nil, nil)
	limit        = prometheus.NewDesc("tidelock_audit_entries_limit", "Entries with which the audit log is full, and the work stops.", nil, nil)

	partitionLabels = []string{"slot", "partition"}
)

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{operations, calls, applications, connections, uptime, sessions, objects, used, total, entries, limit} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s, err := c.source.Statistics()
	if err != nil {
		out <- prometheus.NewInvalidMetric(uptime, err)
		return
	}
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, float64(value), labels...)
	}
	for use, n := range s.Uses {
		mechanism := "other"
		if use.Mechanism != hsm.OtherMechanism {
			mechanism = use.Mechanism.String()
		}
		send(operations, prometheus.CounterValue, n, use.Function.String(), mechanism, use.Code.String())
	}
	for call, n := range s.Calls {
		name := "other"
		if call.Call != 0 {
			name = call.Call.String()
		}
		send(calls, prometheus.CounterValue, n, name, call.Code.String())
	}
	send(applications, prometheus.GaugeValue, s.Applications)
	send(connections, prometheus.GaugeValue, s.Connections)
	send(uptime, prometheus.GaugeValue, s.Uptime)
	send(entries, prometheus.GaugeValue, s.AuditEntries)
	send(limit, prometheus.GaugeValue, s.AuditLimit)
	for _, p := range s.Partitions {
		labels := []string{strconv.FormatUint(p.Slot, 10), p.Label}
		send(sessions, prometheus.GaugeValue, p.Sessions, labels...)
		send(objects, prometheus.GaugeValue, p.Objects, labels...)
		send(used, prometheus.GaugeValue, p.Used, labels...)
		send(total, prometheus.GaugeValue, p.Total, labels...)
	}
}

// Handler answers /metrics in Prometheus's form, with the process's own figures.
func Handler(source Source) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{source}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 10 * time.Second}))
	return mux
}

// Serve answers Prometheus at the listener until ctx ends.
func Serve(ctx context.Context, l net.Listener, source Source, log *slog.Logger) {
	server := &http.Server{Handler: Handler(source), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Error("metrics", "cause", err)
	}
}
