package audit

import (
	"fmt"
	"strings"
)

// String is the actor for people: role, user, process, program.
func (a Actor) String() string {
	var parts []string
	if a.Role != RoleNone {
		parts = append(parts, a.Role.String())
	}
	if a.Source == SourceHSM {
		return strings.Join(append(parts, "the HSM"), ", ")
	}
	parts = append(parts, fmt.Sprintf("uid %d", a.UID))
	if a.PID != 0 {
		parts = append(parts, fmt.Sprintf("pid %d", a.PID))
	}
	if a.Application != 0 {
		parts = append(parts, fmt.Sprintf("application %d", a.Application))
	}
	if a.Program != "" {
		parts = append(parts, fmt.Sprintf("%q", a.Program))
	}
	return strings.Join(parts, ", ")
}

// Subject is what was acted on, for people.
func (r Record) Subject() string {
	var parts []string
	if r.Partition != 0 {
		parts = append(parts, fmt.Sprintf("partition %d", r.Partition))
	}
	if r.Object != 0 {
		parts = append(parts, fmt.Sprintf("object %d", r.Object))
	}
	if r.Related != 0 {
		parts = append(parts, fmt.Sprintf("related %d", r.Related))
	}
	if r.Class.Present {
		parts = append(parts, r.Class.Value.String())
	}
	if r.Mechanism.Present {
		parts = append(parts, r.Mechanism.Value.String())
	}
	if r.Detail != "" {
		parts = append(parts, r.Detail)
	}
	return strings.Join(parts, ", ")
}

// String is the entry as a line for people.
func (e Entry) String() string {
	r := e.Record
	return fmt.Sprintf("%d %s %v %v by %v: %s", e.Sequence, r.Time.Format(timeLayout), r.Event, r.Result, r.Actor, r.Subject())
}
