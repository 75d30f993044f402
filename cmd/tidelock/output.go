package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// field is one line of a command's result: what people read, the name in JSON, and
// the value.
type field struct {
	title string
	name  string
	value any
}

// wantsJSON reads -o.
func wantsJSON(cmd *cobra.Command) (bool, error) {
	switch output, _ := cmd.Flags().GetString("output"); output {
	case "text":
		return false, nil
	case "json":
		return true, nil
	default:
		return false, wrongUse("-o %s: the output is text or json", output)
	}
}

// printFields shows one thing.
func printFields(cmd *cobra.Command, fields []field) error {
	asJSON, err := wantsJSON(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, object(fields))
	}
	w := newTable(cmd.OutOrStdout(), false)
	for _, f := range fields {
		fmt.Fprintf(w, "%s:\t%v\n", f.title, f.value)
	}
	return w.Flush()
}

// printTable shows several things of one kind, each with the same fields.
func printTable(cmd *cobra.Command, rows [][]field) error {
	asJSON, err := wantsJSON(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		list := make([]map[string]any, 0, len(rows))
		for _, r := range rows {
			list = append(list, object(r))
		}
		return printJSON(cmd, list)
	}
	w := newTable(cmd.OutOrStdout(), true)
	for i, r := range rows {
		titles, values := make([]string, len(r)), make([]string, len(r))
		for j, f := range r {
			titles[j], values[j] = f.title, cell(f.value)
		}
		if i == 0 {
			fmt.Fprintln(w, strings.Join(titles, "\t"))
		}
		fmt.Fprintln(w, strings.Join(values, "\t"))
	}
	return w.Flush()
}

// cell is a value in a table; one that is not known is a dash.
func cell(value any) string {
	if value == nil {
		return "-"
	}
	return fmt.Sprint(value)
}

// printEach shows several things one below the other, with a line between.
func printEach(cmd *cobra.Command, things [][]field) error {
	asJSON, err := wantsJSON(cmd)
	if err != nil {
		return err
	}
	if asJSON {
		list := make([]map[string]any, len(things))
		for i, t := range things {
			list[i] = object(t)
		}
		return printJSON(cmd, list)
	}
	for i, t := range things {
		if i > 0 {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if err := printFields(cmd, t); err != nil {
			return err
		}
	}
	return nil
}

// printable is a text from the HSM without what would steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, strings.ToValidUTF8(text, "\ufffd"))
}

func object(fields []field) map[string]any {
	m := make(map[string]any, len(fields))
	for _, f := range fields {
		m[f.name] = f.value
	}
	return m
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}
