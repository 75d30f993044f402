package main

import (
	"strings"
	"testing"
)

func TestParseCallsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"call 1":                              "line 1: want: call",
		"call 1 Hello TWICE":                  "want: call",
		"call 0 Hello":                        "not a call number",
		"call 65536 Hello":                    "not a call number",
		"call 1 hello":                        "not a call name",
		"call 2 A\ncall 2 B":                  "line 2: call 2 B: numbers must rise",
		"call 1 A\ncall 2 A":                  "names differ",
		"> a u8":                              "before the first call",
		"call 1 A\n > a u9":                   "not a field name and a type",
		"call 1 A\n > a":                      "not a field name and a type",
		"call 1 A\n < A u8":                   "not a field name and a type",
		"call 1 A\n > a u8\n < b u8\n > a id": "line 4: field a twice",
		"cal 1 A":                             `unknown word "cal"`,
	} {
		if _, err := parseCalls([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestParseShapesRefuses(t *testing.T) {
	const head = "shape,name,struct,field,member,length,kind\n"
	for rows, want := range map[string]string{
		"0,none,,,,,\n2,ulong,CK_ULONG,v,,,ulong":                                  "line 3: shape 2 ulong is out of sequence",
		"0,none,,,,,\n0,other,,,,,":                                                "out of sequence",
		"x,none,,,,,":                                                              "line 2: shape",
		"0,s,S,f,m,,number":                                                        `unknown kind "number"`,
		"0,s,S,f,m,,ulong\n0,s,T,g,m,,ulong":                                       "differs from that of S",
		"0,s,S,f,m,,ulong\n0,s,T,f,m,,bool":                                        "differs from that of S",
		"0,s,S,f,m,,ulong\n0,s,T,f,m,,ulong\n0,s,T,g,m,,ulong":                     "T has other fields than S",
		"0,s,S,f,m,,pointer":                                                       "a pointer without a shape",
		"0,s,S,f,m,n,list t":                                                       `shape "t" does not come before this one`,
		"0,s,S,f,m,,ulong\n1,t,T,f,m,,ulong s":                                     "kind ulong is of no shape",
		"0,s,S,f,m,n,array":                                                        `an array's length is "n"`,
		"-,s,S,f,m,,ulong\n-,t,T,f,m,,pointer s\n0,u,U,f,m,,pointer t":             "shape t cannot be part",
		"-,s,S,f,m,,ulong\n0,t,T,f,m,n,list s\n0,t,T,g,o,,ulong":                   "a member after a list",
		"-,s,S,f,m,,ulong\n0,t,T,f,m,n,list s\n0,t,U,f,m,,ulong\n":                 "U has other fields than T",
		"-,s,S,f,m,,ulong\n0,t,T,g,m,,ulong\n0,t,T,f,m,n,list s\n0,t,U,g,m,,ulong": "U has other fields than T",
	} {
		if _, err := parseShapes([]byte(head + rows)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", rows, err, want)
		}
	}
	if _, err := parseShapes([]byte("shape,name\n")); err == nil || !strings.Contains(err.Error(), "columns") {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string][2]string{
		"protocolMin":   {"ProtocolMin", "protocol_min"},
		"maxRWSessions": {"MaxRWSessions", "max_rw_sessions"},
		"rwSessions":    {"RWSessions", "rw_sessions"},
		"pin":           {"PIN", "pin"},
		"pinned":        {"Pinned", "pinned"},
		"utcTime":       {"UTCTime", "utc_time"},
		"SetPIN":        {"SetPIN", "set_pin"},
		"HSMInfo":       {"HSMInfo", "hsm_info"},
		"return":        {"Return", "return_"},
	} {
		if got := [2]string{goName(name), cName(name)}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
