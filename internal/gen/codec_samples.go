package main

import (
	"bytes"
	"fmt"
	"strings"
)

// cSamples makes what the tests and fuzz targets of the C codec use to go through
// all calls: one file that builds every request out of values for its fields, one
// that hands the fields of every reply on. Where the values come from, and what is
// done with them, is up to whoever includes a file.
func cSamples(p *protocol) []output {
	return []output{
		{path: "clib/gen/put_samples.h", data: cPutSamples(p.calls)},
		{path: "clib/gen/get_samples.h", data: cGetSamples(p.calls)},
	}
}

func cPutSamples(calls []call) []byte {
	var b, table bytes.Buffer
	b.WriteString(cHead + `// Every request that has fields, for tests and fuzz targets. Who includes this file has defined sample_TYPE(index)
// for all field types and struct put_sample.
`)
	for _, c := range calls {
		if len(c.request) == 0 {
			continue
		}
		name := cName(c.name)
		fmt.Fprintf(&b, "\nstatic void put_%[1]s(struct tl_buffer *b) {\n    struct tl_%[1]s_request m = {\n", name)
		for i, f := range c.request {
			fmt.Fprintf(&b, "        .%s = sample_%s(%d),\n", cName(f.name), f.typ, i)
		}
		fmt.Fprintf(&b, "    };\n    tl_put_%s(b, &m);\n}\n", name)
		fmt.Fprintf(&table, "    {%q, TL_CALL_%s, put_%s},\n", c.name, strings.ToUpper(name), name)
	}
	fmt.Fprintf(&b, "\nstatic const struct put_sample put_samples[] = {\n%s};\n", table.Bytes())
	return b.Bytes()
}

func cGetSamples(calls []call) []byte {
	var b, table bytes.Buffer
	b.WriteString(cHead + `// Every reply that has fields, for tests and fuzz targets. Who includes this file has defined is_TYPE(value, index)
// for all field types and struct get_sample.
`)
	for _, c := range calls {
		if len(c.reply) == 0 {
			continue
		}
		name := cName(c.name)
		fmt.Fprintf(&b, "\nstatic bool get_%[1]s(struct tl_view *v) {\n    struct tl_%[1]s_reply m;\n    return tl_get_%[1]s(v, &m)", name)
		for i, f := range c.reply {
			fmt.Fprintf(&b, " &&\n           is_%s(m.%s, %d)", f.typ, cName(f.name), i)
		}
		b.WriteString(";\n}\n")
		fmt.Fprintf(&table, "    {%q, TL_CALL_%s, get_%s},\n", c.name, strings.ToUpper(name), name)
	}
	fmt.Fprintf(&b, "\nstatic const struct get_sample get_samples[] = {\n%s};\n", table.Bytes())
	return b.Bytes()
}
