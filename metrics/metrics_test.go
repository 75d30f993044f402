package metrics

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/hsm"
	"tidelock.dev/tidelock/mech"
	"tidelock.dev/tidelock/wire"
)

type source struct {
	statistics hsm.Statistics
	err        error
}

func (s source) Statistics() (hsm.Statistics, error) { return s.statistics, s.err }

func get(t *testing.T, s source) (int, string) {
	t.Helper()
	server := httptest.NewServer(Handler(s))
	defer server.Close()
	reply, err := http.Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

func TestHandler(t *testing.T) {
	status, body := get(t, source{statistics: hsm.Statistics{
		Uptime: 77, Applications: 3, Connections: 5, AuditEntries: 123, AuditLimit: 256,
		Uses: map[hsm.Use]uint64{
			{Function: hsm.UseFunction(mech.Sign), Mechanism: cryptoki.CKM_ECDSA}:                                       11,
			{Function: hsm.UseFunction(mech.Sign), Mechanism: hsm.OtherMechanism, Code: cryptoki.CKR_MECHANISM_INVALID}: 2,
		},
		Calls:      map[hsm.CallCode]uint64{{Call: wire.CallLogin, Code: cryptoki.CKR_PIN_INCORRECT}: 4, {Code: cryptoki.CKR_FUNCTION_NOT_SUPPORTED}: 1},
		Partitions: []hsm.PartitionStatistics{{Slot: 2, Label: "pay \"x\"", Sessions: 1, Objects: 9, Used: 1152, Total: 4096}},
	}})
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	for _, line := range []string{
		`tidelock_operations_total{code="CKR_OK",function="sign",mechanism="CKM_ECDSA"} 11`,
		`tidelock_operations_total{code="CKR_MECHANISM_INVALID",function="sign",mechanism="other"} 2`,
		`tidelock_calls_total{call="Login",code="CKR_PIN_INCORRECT"} 4`,
		`tidelock_calls_total{call="other",code="CKR_FUNCTION_NOT_SUPPORTED"} 1`,
		`tidelock_audit_entries 123`, `tidelock_audit_entries_limit 256`,
		`tidelock_applications 3`, `tidelock_connections 5`, `tidelock_uptime_seconds 77`,
		`tidelock_partition_sessions{partition="pay \"x\"",slot="2"} 1`,
		`tidelock_partition_objects{partition="pay \"x\"",slot="2"} 9`,
		`tidelock_partition_used_bytes{partition="pay \"x\"",slot="2"} 1152`,
		`tidelock_partition_size_bytes{partition="pay \"x\"",slot="2"} 4096`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

// A store that has failed shows as a failed scrape, not as counts of zero.
func TestFailure(t *testing.T) {
	if status, body := get(t, source{err: errors.New("the store has failed")}); status != http.StatusInternalServerError {
		t.Errorf("status %d: %s", status, body)
	}
}
