package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/cryptoki"
	"tidelock.dev/tidelock/internal/secret"
	"tidelock.dev/tidelock/wire"
)

// partitionName is a partition as a list of them shows it.
type partitionName struct {
	slot          uint64
	label, serial string
}

// String names the partition for people.
func (p partitionName) String() string {
	if p.slot == wire.AdminSlot {
		return "the HSM's administration"
	}
	return fmt.Sprintf("partition %q (%s)", p.label, p.serial)
}

// partitionFlag adds --partition, with the labels as completion.
func partitionFlag(cmd *cobra.Command) {
	cmd.Flags().StringP("partition", "p", "", "label, serial number or slot; not needed where there is only one partition")
	// The flag was made in the line above.
	_ = cmd.RegisterFlagCompletionFunc("partition", completePartitions)
}

// listPartitions asks for the partitions that the caller may see.
func listPartitions(c *link) ([]partitionName, error) {
	var list wire.PartitionListReply
	if err := c.Do(wire.CallPartitionList, 0, &wire.PartitionListRequest{}, &list); err != nil {
		return nil, fmt.Errorf("listing the partitions: %w", err)
	}
	partitions := make([]partitionName, len(list.Slots))
	for i := range partitions {
		partitions[i] = partitionName{list.Slots[i], list.Labels[i], list.Serials[i]}
	}
	return partitions, nil
}

// choosePartition finds the partition that the command line means.
func choosePartition(cmd *cobra.Command, c *link) (partitionName, error) {
	wanted, err := cmd.Flags().GetString("partition")
	if err != nil {
		return partitionName{}, err
	}
	all, err := listPartitions(c)
	if err != nil {
		return partitionName{}, err
	}
	return pickPartition(wanted, all)
}

// withPlace lets a command speak to the server about the partition that the command line
// means.
func withPlace(cmd *cobra.Command, do func(c *link, place partitionName) error) error {
	return withServer(cmd, func(c *link) error {
		place, err := choosePartition(cmd, c)
		if err != nil {
			return err
		}
		return do(c, place)
	})
}

// pickPartition finds what wanted names: a label before a serial number before a slot.
func pickPartition(wanted string, all []partitionName) (partitionName, error) {
	if wanted == "" {
		switch len(all) {
		case 0:
			return partitionName{}, errors.New("there is no partition that you may use: the HSM SO makes them (`tidelock partition create`) and assigns them (`tidelock client assign`)")
		case 1:
			return all[0], nil
		}
		return partitionName{}, wrongUse("there are %d partitions: say which, with --partition (%s)", len(all), labels(all))
	}
	for _, fits := range []func(p partitionName) bool{
		func(p partitionName) bool { return p.label == wanted },
		func(p partitionName) bool { return p.serial == wanted },
		func(p partitionName) bool { return strconv.FormatUint(p.slot, 10) == wanted },
	} {
		var found []partitionName
		for _, p := range all {
			if fits(p) {
				found = append(found, p)
			}
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			return found[0], nil
		}
		return partitionName{}, fmt.Errorf("%d partitions are called %q: give the serial number", len(found), wanted)
	}
	if len(all) == 0 {
		return partitionName{}, fmt.Errorf("no partition %q: there is none that you may use", wanted)
	}
	return partitionName{}, fmt.Errorf("no partition %q: there are %s", wanted, labels(all))
}

func labels(all []partitionName) string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.label
	}
	return strings.Join(names, ", ")
}

// session is one session with a slot, and who is logged in there.
type session struct {
	*link
	handle    cryptoki.SessionHandle
	partition partitionName // of the administration: only the slot
	role      role
}

// openSession opens a read-write session, or goes on with the shell's. Its end comes
// with the connection's.
func openSession(cmd *cobra.Command, c *link, p partitionName) (*session, error) {
	kept := shellOf(cmd)
	if kept != nil && kept.sessions[p.slot] != nil {
		return kept.sessions[p.slot], nil
	}
	request := wire.OpenSessionRequest{Slot: p.slot, Flags: uint64(cryptoki.CKF_SERIAL_SESSION | cryptoki.CKF_RW_SESSION)}
	var reply wire.OpenSessionReply
	if err := c.Do(wire.CallOpenSession, 0, &request, &reply); err != nil {
		return nil, fmt.Errorf("opening a session with %v: %w", p, err)
	}
	s := &session{link: c, handle: cryptoki.SessionHandle(reply.Session), partition: p}
	if kept != nil {
		kept.sessions[p.slot] = s
	}
	return s, nil
}

// login asks for the role's PIN and logs in. In a shell that is done where the role has
// logged in before.
func (s *session) login(cmd *cobra.Command, r role, p *pins) error {
	if kept := shellOf(cmd); kept != nil {
		if s.role == r {
			return nil
		}
		if err := s.logout(); err != nil {
			return err
		}
		kept.last = s
	}
	pin, err := p.present(cmd, r.title)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	return s.loginWith(r, pin)
}

func (s *session) loginWith(r role, pin secret.Bytes) error {
	request := wire.LoginRequest{User: uint64(r.user), PIN: wire.Secret(pin.Expose())}
	if err := s.do(wire.CallLogin, &request, &wire.LoginReply{}); err != nil {
		return s.refusedPIN(r, err)
	}
	s.role = r
	return nil
}

// logout ends a login, if there is one.
func (s *session) logout() error {
	if s.role == (role{}) {
		return nil
	}
	s.role = role{}
	if err := s.do(wire.CallLogout, &wire.LogoutRequest{}, &wire.LogoutReply{}); err != nil {
		return fmt.Errorf("logging out: %w", err)
	}
	return nil
}

// leave closes the shell's session with a slot, for what no session may be open.
func leave(cmd *cobra.Command, slot uint64) error {
	kept := shellOf(cmd)
	if kept == nil || kept.sessions[slot] == nil {
		return nil
	}
	s := kept.sessions[slot]
	delete(kept.sessions, slot)
	if kept.last == s {
		kept.last = nil
	}
	return s.do(wire.CallCloseSession, &wire.CloseSessionRequest{}, &wire.CloseSessionReply{})
}

// refusedPIN says how many tries are left after a wrong PIN.
func (s *session) refusedPIN(r role, err error) error {
	if cryptoki.Code(err) != cryptoki.CKR_PIN_INCORRECT {
		return fmt.Errorf("logging in as %v: %w", r, err)
	}
	var state wire.RoleStateReply
	if unknown := s.Do(wire.CallRoleState, 0, &wire.RoleStateRequest{Slot: s.partition.slot, User: uint64(r.user)}, &state); unknown != nil {
		return fmt.Errorf("the PIN of the %v is wrong: %w", r, err)
	}
	switch state.AttemptsLeft {
	case 1:
		return fmt.Errorf("the PIN of the %v is wrong, and one more wrong one %s: %w", r, lastTry(r), err)
	default:
		return fmt.Errorf("the PIN of the %v is wrong, %d tries are left: %w", r, state.AttemptsLeft, err)
	}
}

// lastTry is what the last wrong PIN of a role does.
func lastTry(r role) string {
	switch r {
	case roleSO:
		return "zeroizes the HSM"
	case rolePO:
		return "zeroizes the partition"
	case roleAuditor:
		return "locks him for 10 minutes"
	}
	return "locks the role"
}

// do makes a call in the session.
func (s *session) do(call wire.Call, request, reply wire.Message) error {
	return s.Do(call, s.handle, request, reply)
}

// administration is where the HSM SO and the Auditor log in.
var administration = partitionName{slot: wire.AdminSlot, label: "administration"}

// placeOf connects to where a role logs in: the administration, or the partition
// that the command line means. The caller closes the connection.
func placeOf(cmd *cobra.Command, r role) (*link, partitionName, error) {
	if r.ofHSM {
		c, err := administer(cmd)
		return c, administration, err
	}
	c, err := connect(cmd)
	if err != nil {
		return nil, partitionName{}, err
	}
	p, err := choosePartition(cmd, c)
	if err != nil {
		c.Close()
		return nil, partitionName{}, err
	}
	return c, p, nil
}

// enter opens a session where the role logs in, and logs in. The caller closes it.
func enter(cmd *cobra.Command, r role, p *pins) (*session, error) {
	c, place, err := placeOf(cmd, r)
	if err != nil {
		return nil, err
	}
	s, err := openSession(cmd, c, place)
	if err == nil {
		err = s.login(cmd, r, p)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// explained names the command that helps where the role's PIN is still the initial one.
func (s *session) explained(err error) error {
	if cryptoki.Code(err) != cryptoki.CKR_PIN_EXPIRED {
		return err
	}
	if s.role.ofHSM {
		return fmt.Errorf("the PIN of the %v is still the one that he was given (`tidelock role changepw %s`): %w", s.role, s.role.name, err)
	}
	return fmt.Errorf("the PIN of the %v is still the one that he was given (`tidelock role changepw %s --partition %s`): %w",
		s.role, s.role.name, s.partition.label, err)
}
