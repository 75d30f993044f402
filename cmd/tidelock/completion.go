package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// completePartitions offers the labels of the partitions. A server that is not there
// is no fault: there is then nothing to offer.
func completePartitions(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := connect(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	all, err := listPartitions(c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	offers := make([]string, len(all))
	for i, p := range all {
		offers[i] = p.label + "\t" + p.serial
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}

// completeRole offers roles for the first argument.
func completeRole(among ...role) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return roleNames(among...), cobra.ShellCompDirectiveNoFileComp
	}
}

// completePolicies offers the policies of an owner, up to the sign before the value.
func completePolicies(o policyOwner) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		const how = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		var offers []string
		// A server that is not there is no fault: there is then nothing to offer.
		_ = withServer(cmd, func(c *link) error {
			place, err := o.place(cmd, c)
			if err != nil {
				return err
			}
			p, err := o.list(c, place)
			if err != nil {
				return err
			}
			for i, id := range p.Ids {
				offers = append(offers, fmt.Sprintf("%d=\t%s, now %d", id, p.Names[i], p.Values[i]))
			}
			return nil
		})
		return offers, how
	}
}
