package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// contents is long and strange enough that no form of it appears by chance.
var contents = []byte("k9#Vq2!xTidemark")

// forms are the ways in which contents could show in a text.
func forms() []string {
	decimal := strings.Trim(fmt.Sprint(contents), "[]")
	return []string{string(contents), hex.EncodeToString(contents), strings.ToUpper(hex.EncodeToString(contents)), decimal}
}

func TestNothingPrints(t *testing.T) {
	s := Copy(contents)
	type exported struct{ PIN Bytes }
	type hidden struct{ pin Bytes }
	type nested struct {
		list []Bytes
		of   map[string]hidden
		ptr  *hidden
	}
	values := map[string]any{
		"value": s, "pointer": &s, "exported": exported{s}, "hidden": hidden{s}, "pointer to hidden": &hidden{s},
		"nested": nested{[]Bytes{s}, map[string]hidden{"a": {s}}, &hidden{s}},
		"slice":  []Bytes{s},
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%p", "%t"} {
			check(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		var text, structured bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&structured, nil)).Info("m", "v", v)
		check(t, name+" slog text", text.String())
		check(t, name+" slog JSON", structured.String())
		check(t, name+" error", fmt.Errorf("cause: %v", v).Error())
	}
}

func check(t *testing.T, how, text string) {
	t.Helper()
	for _, form := range forms() {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %s", how, text)
		}
	}
}

func TestRedacted(t *testing.T) {
	for _, verb := range []string{"%v", "%s", "%x", "%d", "%#v"} {
		if got := fmt.Sprintf(verb, Copy(contents)); got != redacted {
			t.Errorf("%s gives %q", verb, got)
		}
	}
	if a, b := Copy(nil).String(), Copy(contents).String(); a != b {
		t.Errorf("the text tells the lengths apart: %q, %q", a, b)
	}
}

func TestNothingEncodes(t *testing.T) {
	s := Copy(contents)
	if out, err := json.Marshal(struct{ PIN Bytes }{s}); err == nil {
		t.Errorf("JSON accepts it: %s", out)
	}
	if out, err := json.Marshal(map[Bytes]int{s: 1}); err == nil {
		t.Errorf("JSON accepts it as a key: %s", out)
	}
	if _, err := s.MarshalText(); err == nil {
		t.Error("MarshalText accepts it")
	}
	if err := gob.NewEncoder(new(bytes.Buffer)).Encode(s); err == nil {
		t.Error("gob accepts it")
	}
}

func TestOwnership(t *testing.T) {
	b := bytes.Clone(contents)
	c := Copy(b)
	if !bytes.Equal(b, contents) {
		t.Error("Copy changed the caller's buffer")
	}
	b[0] ^= 1
	if !bytes.Equal(c.Expose(), contents) {
		t.Error("Copy shares the caller's buffer")
	}
	b[0] ^= 1
	taken := Take(b)
	if !bytes.Equal(b, make([]byte, len(b))) {
		t.Error("Take left the caller's buffer as it was")
	}
	if !bytes.Equal(taken.Expose(), contents) {
		t.Error("Take lost the contents")
	}
}

func TestWipe(t *testing.T) {
	s := Copy(contents)
	other, under := s, s.Expose()
	s.Wipe()
	if !bytes.Equal(under, make([]byte, len(contents))) {
		t.Error("Wipe left the memory as it was")
	}
	if s.Len() != 0 || other.Len() != 0 || other.Expose() != nil {
		t.Error("a wiped secret still has contents")
	}
	s.Wipe()
	Bytes{}.Wipe()
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b Bytes
		want bool
	}{
		{"same contents", Copy(contents), Copy(contents), true},
		{"last byte", Copy([]byte("abc")), Copy([]byte("abd")), false},
		{"prefix", Copy([]byte("abc")), Copy([]byte("ab")), false},
		{"empty", Bytes{}, New(0), true},
		{"empty and not", Bytes{}, New(1), false},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
