package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tidelock.dev/tidelock/wire"
)

// contentPage is how many objects are asked for at once, and laid out together.
const contentPage = 256

// content is an object as lists show it.
type content struct {
	Handle uint64 `json:"handle"`
	Class  string `json:"class"`
	Type   string `json:"type"`
	Size   uint64 `json:"size"`
	Label  string `json:"label"`
	ID     string `json:"id"`
}

// eachContent calls fn with what the session may see, page by page: a partition may
// hold more objects than fit into memory.
func eachContent(s *session, fn func(page []content) error) error {
	page := make([]content, 0, contentPage)
	for after := uint64(0); ; {
		var reply wire.ContentsReply
		if err := s.do(wire.CallContents, &wire.ContentsRequest{After: after, Limit: contentPage}, &reply); err != nil {
			return fmt.Errorf("listing the objects: %w", s.explained(err))
		}
		if n := len(reply.Objects); n != len(reply.Classes) || n != len(reply.KeyTypes) || n != len(reply.Sizes) || n != len(reply.Labels) || n != len(reply.Ids) {
			return errors.New("listing the objects: the server's answer is malformed")
		}
		page = page[:0]
		for i, h := range reply.Objects {
			page = append(page, content{
				h, className(reply.Classes[i]), keyTypeName(reply.Classes[i], reply.KeyTypes[i]), reply.Sizes[i],
				printable(reply.Labels[i]), reply.Ids[i],
			})
			after = h
		}
		if err := fn(page); err != nil {
			return err
		}
		if !reply.More || len(reply.Objects) == 0 {
			return nil
		}
	}
}

// contentList writes objects as they come: a table whose columns are as wide as each
// page needs, or a JSON array.
type contentList struct {
	out    io.Writer
	asJSON bool
	count  int
}

func (l *contentList) add(page []content) error {
	if l.asJSON {
		for _, c := range page {
			text, err := json.Marshal(c)
			if err != nil {
				return err
			}
			lead := ",\n  "
			if l.count == 0 {
				lead = "[\n  "
			}
			if _, err := fmt.Fprintf(l.out, "%s%s", lead, text); err != nil {
				return err
			}
			l.count++
		}
		return nil
	}
	w := newTable(l.out, l.count == 0)
	if l.count == 0 && len(page) > 0 {
		fmt.Fprintln(w, "Handle\tClass\tType\tSize\tLabel\tId")
	}
	for _, c := range page {
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\n", c.Handle, c.Class, c.Type, c.Size, c.Label, c.ID)
		l.count++
	}
	return w.Flush()
}

func (l *contentList) end() error {
	if !l.asJSON {
		return nil
	}
	text := "\n]\n"
	if l.count == 0 {
		text = "[]\n"
	}
	_, err := io.WriteString(l.out, text)
	return err
}

func keyListCommand() *cobra.Command {
	var p pins
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys and other objects of a partition",
		Long: `list shows each object that the role may see: its handle, class, type, size in bytes as
the partition counts it, label and id.`,
		Example: "  tidelock key list --partition payments\n  tidelock key list --as cu --pin-file cu.pin -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listContents(cmd, &p)
		},
	}
	asFlag(cmd, roleCO, roleLCO, roleCU)
	partitionFlag(cmd)
	p.flags(cmd, false)
	return cmd
}

// listContents is key list, and partition contents.
func listContents(cmd *cobra.Command, p *pins) error {
	asJSON, err := wantsJSON(cmd)
	if err != nil {
		return err
	}
	r, err := asRole(cmd, roleCO, roleLCO, roleCU)
	if err != nil {
		return err
	}
	s, err := enter(cmd, r, p)
	if err != nil {
		return err
	}
	defer s.Close()
	list := contentList{out: cmd.OutOrStdout(), asJSON: asJSON}
	if err := eachContent(s, list.add); err != nil {
		return err
	}
	return list.end()
}
