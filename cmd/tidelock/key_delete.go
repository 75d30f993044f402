package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/wire"
)

func keyDeleteCommand() *cobra.Command {
	var p pins
	var k keyChoice
	var sure confirmation
	cmd := &cobra.Command{
		Use:   "delete {HANDLE | --label LABEL | --id ID}",
		Short: "Delete a key, or all objects of a label or an id",
		Long: `delete destroys objects for good. A label or an id may stand for several, such as the
two halves of a key pair: all of them are deleted, and --dry-run tells which.`,
		Example: "  tidelock key delete 12\n  tidelock key delete --label old-signing --dry-run",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := k.check(args); err != nil {
				return err
			}
			r, err := asRole(cmd, roleCO, roleLCO)
			if err != nil {
				return err
			}
			s, err := enter(cmd, r, &p)
			if err != nil {
				return err
			}
			defer s.Close()
			handles, err := k.find(s, args)
			if err != nil {
				return err
			}
			lost := make([]string, len(handles))
			for i, h := range handles {
				if lost[i], err = nameObject(s, h); err != nil {
					return fmt.Errorf("object %d: %w", h, s.explained(err))
				}
			}
			word := k.label
			if word == "" {
				word = strconv.FormatUint(handles[0], 10)
			}
			if ok, err := sure.ask(cmd, word, lost); err != nil || !ok {
				return err
			}
			for i, h := range handles {
				if err := s.do(wire.CallDestroyObject, &wire.DestroyObjectRequest{Object: h}, &wire.DestroyObjectReply{}); err != nil {
					return fmt.Errorf("deleting object %d, after %d others: %w", h, i, s.explained(err))
				}
			}
			return printFields(cmd, []field{{"Deleted objects", "deleted", len(handles)}})
		},
	}
	k.flags(cmd)
	asFlag(cmd, roleCO, roleLCO)
	partitionFlag(cmd)
	p.flags(cmd, false)
	sure.flags(cmd)
	return cmd
}

// nameObject says in a line what an object is.
func nameObject(s *session, handle uint64) (string, error) {
	fields, err := describe(s, handle)
	if err != nil {
		return "", err
	}
	o := object(fields)
	text := fmt.Sprintf("object %d: %v", handle, o["class"])
	if t, ok := o["keyType"]; ok {
		text = fmt.Sprintf("object %d: %v %v key", handle, t, o["class"])
	}
	if label, _ := o["label"].(string); label != "" {
		text += fmt.Sprintf(" %q", label)
	}
	return text, nil
}
