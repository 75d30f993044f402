// Package behaviour has the catalogue of what the product is to do: rows.csv names its
// rows, and a file ID.txtar is the scenario that shows the row ID. README.md tells how
// scenarios are written.
package behaviour

import "embed"

// Catalogue is for compare.Load.
//
//go:embed rows.csv *.txtar
var Catalogue embed.FS
