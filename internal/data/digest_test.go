package data

import "testing"

// relabelled is another data set: a label differs.
type relabelled struct{ Source }

func (s relabelled) Read(i int, pixels []uint8) (int32, error) {
	label, err := s.Source.Read(i, pixels)
	if i == 3 {
		label = 1 - label
	}
	return label, err
}

func TestDigestTellsDataSetsApart(t *testing.T) {
	src := &fake{n: 5, h: 2, w: 3, c: 1}
	digests := map[string]string{}
	for name, s := range map[string]Source{
		"one": src, "shorter": &fake{n: 4, h: 2, w: 3, c: 1}, "of other pixels": &fake{n: 5, h: 3, w: 3, c: 1}, "of another label": relabelled{src},
	} {
		d, err := Digest(s)
		again, _ := Digest(s)
		if err != nil || d == "" || d != again {
			t.Errorf("%s: %q, then %q, error %v", name, d, again, err)
		}
		if other := digests[d]; other != "" {
			t.Errorf("the data set %s has the digest of the one %s", name, other)
		}
		digests[d] = name
	}
}
