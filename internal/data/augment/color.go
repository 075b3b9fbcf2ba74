package augment

// luma is Rec. 601's of an RGB pixel in 16-bit fixed point, rounded.
func luma(rgb []uint8) int {
	return (19595*int(rgb[0]) + 38470*int(rgb[1]) + 7471*int(rgb[2]) + 1<<15) >> 16
}

// meanLuma is the rounded mean over the image.
func (m picture) meanLuma() uint8 {
	sum := 0
	if m.c == 3 {
		for i := 0; i+3 <= len(m.pixels); i += 3 {
			sum += luma(m.pixels[i : i+3])
		}
	} else {
		for _, x := range m.pixels {
			sum += int(x)
		}
	}
	return uint8(float64(sum)/float64(m.h*m.w) + 0.5)
}

// saturate moves colours away from grey, or towards it if factor is below 1.
func (m picture) saturate(factor float64) {
	if m.c != 3 {
		return
	}
	b := newBlend(factor)
	for i := 0; i+3 <= len(m.pixels); i += 3 {
		rgb := m.pixels[i : i+3]
		grey := luma(rgb)
		rgb[0], rgb[1], rgb[2] = b.mix(grey, int(rgb[0])), b.mix(grey, int(rgb[1])), b.mix(grey, int(rgb[2]))
	}
}

// turn moves hues on by so many 256ths of the colour circle, by way of 8-bit HSV as Pillow does.
func (m picture) turn(by uint8) {
	if m.c != 3 {
		return
	}
	var sextant [256]int
	var share [256]float32 // of the sextant that a hue has gone through
	for h := range sextant {
		at := float64(h) * 6 / 255
		sextant[h] = int(at)
		share[h] = float32(at - float64(int(at)))
	}
	for i := 0; i+3 <= len(m.pixels); i += 3 {
		rgb := m.pixels[i : i+3]
		h, s, v := hsv(rgb[0], rgb[1], rgb[2])
		if s == 0 {
			rgb[0], rgb[1], rgb[2] = v, v, v
			continue
		}
		h += by
		fs, f := float32(float64(s)/255), share[h]
		lo := uint8(float64(float64(v)*(1-float64(fs))) + 0.5)
		falling := uint8(float64(float64(v)*(1-float64(fs*f))) + 0.5)
		rising := uint8(float64(float64(v)*(1-float64(float64(fs)*(1-float64(f))))) + 0.5)
		switch sextant[h] {
		case 0, 6:
			rgb[0], rgb[1], rgb[2] = v, rising, lo
		case 1:
			rgb[0], rgb[1], rgb[2] = falling, v, lo
		case 2:
			rgb[0], rgb[1], rgb[2] = lo, v, rising
		case 3:
			rgb[0], rgb[1], rgb[2] = lo, falling, v
		case 4:
			rgb[0], rgb[1], rgb[2] = rising, lo, v
		case 5:
			rgb[0], rgb[1], rgb[2] = v, lo, falling
		}
	}
}

// hsv rounds down, in float32 where Pillow does.
func hsv(r, g, b uint8) (h, s, v uint8) {
	hi, lo := max(r, g, b), min(r, g, b)
	if hi == lo {
		return 0, 0, hi
	}
	spread := float32(hi - lo)
	below := func(x uint8) float32 { return float32(hi-x) / spread }
	var at float32 // sixths of the circle
	switch hi {
	case r:
		at = below(b) - below(g)
	case g:
		at = float32(2 + float64(below(r)) - float64(below(b)))
	default:
		at = float32(4 + float64(below(g)) - float64(below(r)))
	}
	turns := float64(at)/6 + 1
	if turns >= 1 {
		turns--
	}
	return uint8(float64(float32(turns)) * 255), uint8(float64(spread/float32(hi)) * 255), hi
}
