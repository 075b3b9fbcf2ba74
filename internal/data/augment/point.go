package augment

// table maps the levels of a pixel.
type table [256]uint8

// look replaces every level of m by its entry in t.
func (m picture) look(t table) {
	for i, x := range m.pixels {
		m.pixels[i] = t[x]
	}
}

// histogram counts the levels of a channel.
type histogram [256]int

// perChannel looks every channel up in the table that follows from its histogram.
func (m picture) perChannel(of func(histogram) table) {
	for k := range m.c {
		var counts histogram
		for i := k; i < len(m.pixels); i += m.c {
			counts[m.pixels[i]]++
		}
		t := of(counts)
		for i := k; i < len(m.pixels); i += m.c {
			m.pixels[i] = t[m.pixels[i]]
		}
	}
}

// stretched takes the least level that occurs to 0 and the greatest to 255.
func stretched(counts histogram) table {
	lo, hi := 0, 255
	for lo < 255 && counts[lo] == 0 {
		lo++
	}
	for hi > 0 && counts[hi] == 0 {
		hi--
	}
	var t table
	if hi <= lo {
		return same()
	}
	scale := 255 / float64(hi-lo)
	offset := float64(-lo) * scale
	for i := range t {
		t[i] = clip(int(float64(float64(i)*scale) + offset))
	}
	return t
}

// equalized spreads the levels so that each 255th of the pixels, those of the greatest level aside, spans one.
func equalized(counts histogram) table {
	total, last := 0, 0
	for _, n := range counts {
		if n > 0 {
			total, last = total+n, n
		}
	}
	step := (total - last) / 255
	if step == 0 {
		return same()
	}
	var t table
	n := step / 2
	for i := range t {
		t[i] = clip(n / step)
		n += counts[i]
	}
	return t
}

func same() table {
	var t table
	for i := range t {
		t[i] = uint8(i)
	}
	return t
}

func posterized(bits int) table {
	var t table
	for i := range t {
		t[i] = uint8(i & ^(1<<(8-bits) - 1))
	}
	return t
}

func solarized(threshold float64) table {
	t := same()
	for i := range t {
		if float64(i) >= threshold {
			t[i] = uint8(255 - i)
		}
	}
	return t
}

func added(n int) table {
	t := same()
	for i := range 128 {
		t[i] = clip(i + n)
	}
	return t
}

// blended moves levels away from grey, or towards it if factor is below 1.
func blended(grey uint8, factor float64) table {
	var t table
	b := newBlend(factor)
	for i := range t {
		t[i] = b.mix(int(grey), i)
	}
	return t
}

// blend is Pillow's blending of two levels a and b, a + factor*(b-a) in float32, cut off to whole levels.
type blend [511]float32 // factor*(b-a) at b-a+255

func newBlend(factor float64) blend {
	var b blend
	for i := range b {
		b[i] = float32(factor) * float32(i-255)
	}
	return b
}

func (t *blend) mix(a, b int) uint8 {
	return clip(int(float32(a) + t[uint(b-a+255)]))
}

func clip(x int) uint8 {
	if uint(x) > 255 {
		return uint8(^(x >> 63)) // 0 below, 255 above
	}
	return uint8(x)
}
