package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/audit"
	"tidelock.dev/tidelock/wire"
)

func auditConfigCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "config",
		Short:   "What the log records, and how large it gets",
		Example: "  tidelock audit config get\n  tidelock audit config set --classes failure,success,access,usage",
	}, auditConfigGetCommand(), auditConfigSetCommand())
}

func auditConfigGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "get",
		Short:   "Show what the Auditor has set",
		Example: "  tidelock audit config get",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withServer(cmd, func(c *link) error {
				s, err := auditSettings(c)
				if err != nil {
					return err
				}
				return printSettings(cmd, s)
			})
		},
	}
}

func auditSettings(c *link) (audit.Settings, error) {
	var reply wire.AuditSettingsReply
	if err := c.Do(wire.CallAuditSettings, 0, &wire.AuditSettingsRequest{}, &reply); err != nil {
		return audit.Settings{}, fmt.Errorf("reading the settings of the audit log: %w", err)
	}
	return audit.Settings{Classes: audit.Classes(reply.Classes), Limit: reply.Limit}, nil
}

func printSettings(cmd *cobra.Command, s audit.Settings) error {
	fields := []field{
		{"Classes", "classes", s.Classes.String()},
		{"Entries that it has room for", "limit", s.Limit},
	}
	if s.Classes&(audit.ClassSuccess|audit.ClassFailure) == 0 && s.Classes != audit.AlwaysRecorded {
		fields = append(fields, field{"Note", "note", "without success or failure only manage, logmanage and uses of keys with authorization data are recorded"})
	}
	return printFields(cmd, fields)
}

func auditConfigSetCommand() *cobra.Command {
	var p pins
	var classes string
	var limit uint64
	cmd := &cobra.Command{
		Use:   "set [--classes LIST] [--limit N]",
		Short: "Set what the log records, and how large it gets",
		Long: `set is for the Auditor. Classes of events, with commas between them:

  failure    with results other than CKR_OK
  success    with the result CKR_OK
  access     logins and logouts
  keymanage  keys and other objects made, changed, wrapped, destroyed
  usage      every use of a public or private key
  first      the first use of a public or private key
  symmetric  every use of a secret key
  symfirst   the first use of a secret key
  external   texts of applications (CA_LogExternal)
  manage     the HSM, partitions, policies, roles: always recorded
  logmanage  the log itself: always recorded

all and none are lists too. A class records nothing unless success or failure is listed
with it. The use of a key that has authorization data is always recorded.`,
		Example: "  tidelock audit config set --classes failure,success,access,keymanage,first,symfirst\n  tidelock audit config set --limit 1000000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var chosen audit.Classes
			if cmd.Flags().Changed("classes") {
				var err error
				if chosen, err = audit.ParseClasses(classes); err != nil {
					return wrongUse("--classes: %w", err)
				}
			}
			if cmd.Flags().Changed("limit") {
				if err := (audit.Settings{Limit: limit}).Check(); err != nil {
					return wrongUse("--limit: %w", err)
				}
			}
			if chosen == 0 && !cmd.Flags().Changed("limit") {
				return wrongUse("say what to set: --classes or --limit")
			}
			return asAuditor(cmd, &p, func(s *session) error {
				settings, err := auditSettings(s.link)
				if err != nil {
					return err
				}
				if chosen != 0 {
					settings.Classes = chosen
				}
				if cmd.Flags().Changed("limit") {
					settings.Limit = limit
				}
				request := wire.SetAuditSettingsRequest{Classes: uint32(settings.Classes), Limit: settings.Limit}
				if err := s.do(wire.CallSetAuditSettings, &request, &wire.SetAuditSettingsReply{}); err != nil {
					return s.explained(fmt.Errorf("setting what the audit log records: %w", err))
				}
				return printSettings(cmd, settings)
			})
		},
	}
	cmd.Flags().StringVar(&classes, "classes", "", "classes of events that are recorded")
	cmd.Flags().Uint64Var(&limit, "limit", 0, fmt.Sprintf("how many entries there may be, %d to %d", audit.MinLimit, uint64(audit.MaxLimit)))
	p.flags(cmd, false)
	return cmd
}

// asAuditor lets the Auditor speak to the server.
func asAuditor(cmd *cobra.Command, p *pins, do func(s *session) error) error {
	s, err := enter(cmd, roleAuditor, p)
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}
