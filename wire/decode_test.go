package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"tidelock.dev/tidelock/cryptoki"
)

func u32(n uint32) []byte { return appendU32(nil, n) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// nested wraps an attribute into templates, depth in all.
func nested(depth int) cryptoki.Template {
	t := cryptoki.Template{{Type: cryptoki.CKA_ID, Value: []byte{1}}}
	for range depth - 1 {
		t = cryptoki.Template{{Type: cryptoki.CKA_WRAP_TEMPLATE, Value: AppendTemplate(nil, t)}}
	}
	return t
}

func find(t cryptoki.Template) []byte { return (&FindRequest{Template: t}).AppendTo(nil) }

func initWith(m cryptoki.Mechanism) []byte {
	return (&OperationInitRequest{Mechanism: m}).AppendTo(nil)
}

func TestParseRefuses(t *testing.T) {
	id := cryptoki.AttributeType(cryptoki.CKA_ID)
	gcm := func(fields ...uint64) []byte {
		return initWith(cryptoki.Mechanism{Type: cryptoki.CKM_AES_GCM, Shape: cryptoki.ShapeGCM, Fields: fields, Data: make([]byte, 20)})
	}
	for _, test := range []struct {
		name    string
		message Message
		body    []byte
		want    string
	}{
		{"bool", new(SlotListRequest), []byte{2}, "SlotList request: tokenPresent is neither 0 nor 1"},
		{"number", new(SlotInfoRequest), make([]byte, 7), "SlotInfo request: slot is cut short"},
		{"left over", new(SlotInfoRequest), make([]byte, 9), "SlotInfo request: 1 bytes left over"},
		{"left over after nothing", new(LogoutRequest), make([]byte, 3), "Logout request: 3 bytes left over"},
		{"bytes", new(SeedRandomRequest), join(u32(2), []byte{1}), "seed claims more bytes"},
		{"most bytes", new(SeedRandomRequest), u32(1<<32 - 1), "seed claims more bytes"},
		{"secret", new(LoginRequest), join(make([]byte, 8), u32(9), []byte("1234")), "Login request: pin claims more bytes"},
		{"UTF-8", new(PartitionListReply), join(u32(0), u32(1), u32(1), []byte{0xff}, u32(0)), "labels is not UTF-8"},
		{"texts", new(PartitionListReply), join(u32(0), u32(1<<30), make([]byte, 100)), "labels claims more elements"},
		{"u64s", new(PartitionListReply), join(u32(2), make([]byte, 15)), "slots claims more elements"},
		{"most u64s", new(PartitionListReply), u32(1 << 29), "slots claims more elements"},
		{"attributes", new(FindRequest), join(u32(3), make([]byte, 35)), "template claims more elements"},
		{"257 attributes", new(FindRequest), find(make(cryptoki.Template, 257)), "template has more than 256 attributes"},
		{"value", new(FindRequest), join(u32(1), make([]byte, 8), u32(1)), "template claims more bytes"},
		{"5 deep", new(FindRequest), find(nested(5)), "nests templates more than 4 deep"},
		{"nested rubbish", new(FindRequest), find(cryptoki.Template{{Type: cryptoki.CKA_DERIVE_TEMPLATE, Value: u32(1)}}), "template claims more elements"},
		{"nested nothing", new(FindRequest), find(cryptoki.Template{{Type: cryptoki.CKA_DERIVE_TEMPLATE}}), "template is cut short"},
		{"nested and more", new(FindRequest), find(cryptoki.Template{{Type: cryptoki.CKA_UNWRAP_TEMPLATE, Value: make([]byte, 5)}}), "left over after a nested"},
		{"deeply nested rubbish", new(FindRequest), find(cryptoki.Template{{Type: cryptoki.CKA_WRAP_TEMPLATE, Value: AppendTemplate(nil,
			cryptoki.Template{{Type: cryptoki.CKA_DERIVE_TEMPLATE, Value: u32(300)}, {Type: id}})}}), "template claims more elements"},
		{"status", new(GetAttributesReply), join(u32(1), []byte{3}, u32(0)), "values has a status"},
		{"secret value", new(GetAttributesReply), join(u32(1), []byte{1}, u32(1), []byte{1}), "values has a status"},
		{"257 values", new(GetAttributesReply), (&GetAttributesReply{Values: make([]Value, 257)}).AppendTo(nil), "values has more than 256"},
		{"lengths beyond the data", new(OperationInitRequest), gcm(12, 9, 128), "do not fit"},
		{"lengths short of the data", new(OperationInitRequest), gcm(12, 7, 128), "do not fit"},
		{"lengths that overflow", new(OperationInitRequest), gcm(1<<64-4, 24, 128), "do not fit"},
		{"a field too few", new(OperationInitRequest), gcm(12, 8), "do not fit"},
		{"a field too many", new(OperationInitRequest), gcm(12, 8, 128, 0), "do not fit"},
		{"malformed with data", new(OperationInitRequest), initWith(cryptoki.Mechanism{Shape: cryptoki.ShapeMalformed, Data: []byte{1}}), "do not fit"},
		{"none with data", new(OperationInitRequest), initWith(cryptoki.Mechanism{Data: []byte{1}}), "do not fit"},
		{"half an element", new(OperationInitRequest), initWith(cryptoki.Mechanism{Shape: cryptoki.ShapeKDF, Fields: []uint64{1, 4, 1, 4}, Data: []byte{1}}), "do not fit"},
		{"element beyond the data", new(OperationInitRequest), initWith(cryptoki.Mechanism{Shape: cryptoki.ShapeKDF, Fields: []uint64{1, 4, 1, 4, 1}, Data: []byte{1}}), "do not fit"},
		{"data beyond the elements", new(OperationInitRequest), initWith(cryptoki.Mechanism{Shape: cryptoki.ShapeKDF, Fields: []uint64{1, 4, 1}, Data: []byte{1, 2}}), "do not fit"},
		{"no field of a list", new(OperationInitRequest), initWith(cryptoki.Mechanism{Shape: cryptoki.ShapeKDF}), "do not fit"},
		{"33 fields", new(OperationInitRequest), initWith(cryptoki.Mechanism{Shape: 99, Fields: make([]uint64, 33)}), "more than 32"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.message.Parse(test.body)
			if cryptoki.Code(err) != cryptoki.CKR_ARGUMENTS_BAD || !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v\nwant CKR_ARGUMENTS_BAD and %q", err, test.want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	for name, body := range map[string][]byte{
		"256 attributes": find(make(cryptoki.Template, 256)),
		"4 deep":         find(nested(4)),
		// CKF_ARRAY_ATTRIBUTE alone makes no template.
		"an array of mechanisms": find(cryptoki.Template{{Type: cryptoki.CKA_ALLOWED_MECHANISMS, Value: cryptoki.ULong(uint64(1))}}),
		"an unknown array":       find(cryptoki.Template{{Type: 0xC0000FFF, Value: []byte{1}}}),
	} {
		if err := new(FindRequest).Parse(body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What an unknown shape means is for those to say who know the mechanism.
	if err := new(OperationInitRequest).Parse(initWith(cryptoki.Mechanism{Shape: 99, Fields: make([]uint64, 32), Data: []byte{1}})); err != nil {
		t.Error(err)
	}
}

func TestParseTemplate(t *testing.T) {
	inner := cryptoki.Template{{Type: cryptoki.CKA_TOKEN, Value: cryptoki.Bool(true)}, {Type: cryptoki.CKA_ID, Value: []byte("id")}}
	b := AppendTemplate(nil, inner)
	got, err := ParseTemplate(nil, b)
	if err != nil || !bytes.Equal(AppendTemplate(nil, got), b) {
		t.Errorf("%v, %v", got, err)
	}
	if again, err := ParseTemplate(got, b); err != nil || &again[0] != &got[0] {
		t.Errorf("%v: the destination is not used again", err)
	}
	for name, b := range map[string][]byte{"empty": nil, "cut": b[:len(b)-1], "prolonged": append(b, 0), "deep": AppendTemplate(nil, nested(5))} {
		if _, err := ParseTemplate(nil, b); cryptoki.Code(err) != cryptoki.CKR_ATTRIBUTE_VALUE_INVALID {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestParseAliases: nothing that Parse returns can be appended to over the frame.
func TestParseAliases(t *testing.T) {
	body := (&OperateRequest{Data: []byte("data"), Signature: []byte("signature")}).AppendTo(nil)
	var m OperateRequest
	if err := m.Parse(body); err != nil {
		t.Fatal(err)
	}
	if &m.Data[0] != &body[5] {
		t.Error("data is a copy")
	}
	_ = append(m.Data, "written over"...)
	if string(m.Signature) != "signature" {
		t.Error("appending to a field changes the next one")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	login := LoginRequest{User: 1, PIN: Secret("4711")}
	hello := HelloRequest{Secret: ID([]byte("4711471147114711"))}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("message", "login", login, "hello", hello, "pin", login.PIN, "id", hello.Secret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, login, &hello, login.PIN, hello.Secret)
	}
	for _, v := range []any{login, &hello, login.PIN, hello.Secret} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	for _, trace := range []string{"4711", "34373131", "NDcxMQ", "52 55 49 49", "0x34, 0x37", "52,55,49"} {
		if strings.Contains(out.String(), trace) {
			t.Errorf("printed %s:\n%s", trace, out.String())
		}
	}
	login.PIN.Wipe()
	if !bytes.Equal(login.PIN, make([]byte, 4)) {
		t.Error("not wiped")
	}
}
