package firmware

import "testing"

func TestParse(t *testing.T) {
	for text, want := range map[string]Level{
		"7.8.0": {7, 8, 0}, "6.22.3": {6, 22, 3}, "0.0.0": {}, "255.255.255": {255, 255, 255},
	} {
		got, err := Parse(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("Parse(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "7", "7.8", "7.8.0.1", "7.8.", ".8.0", "7.8.x", "7.8.256", "-7.8.0", "7.8.0 ", "7,8,0"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %v", text, got)
		}
	}
}

func TestParseSpan(t *testing.T) {
	for _, test := range []struct{ from, to, want string }{
		{"", "", "all"}, {"7.7.0", "", "from 7.7.0"}, {"", "7.4.2", "to 7.4.2"}, {"7.7.0", "7.8.2", "7.7.0 to 7.8.2"},
	} {
		if s, err := ParseSpan(test.from, test.to); err != nil || s.String() != test.want {
			t.Errorf("%v, %v", s, err)
		}
	}
	for _, ends := range [][2]string{{"7.8.0", "7.7.0"}, {"7.8", ""}, {"", "x"}} {
		if s, err := ParseSpan(ends[0], ends[1]); err == nil {
			t.Errorf("%q is the span %v", ends, s)
		}
	}
}
