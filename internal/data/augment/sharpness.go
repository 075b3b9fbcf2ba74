package augment

// sharpen moves levels away from the smoothed image, or towards it if factor is below 1. Smoothing takes the mean of 3x3
// pixels with weight 5 for the middle one and 1 for the others; the outermost pixels have no such mean and stay.
func (p *Pipeline) sharpen(m picture, factor float64) {
	if m.h < 3 || m.w < 3 {
		return
	}
	src, row := p.keep(m).pixels, m.w*m.c
	if cap(p.sums) < row {
		p.sums = make([]uint16, row)
	}
	sums, b := p.sums[:row], newBlend(factor)
	for y := 1; y < m.h-1; y++ {
		above, here, below := src[(y-1)*row:y*row], src[y*row:(y+1)*row], src[(y+1)*row:(y+2)*row]
		for i := range sums {
			sums[i] = uint16(above[i]) + uint16(here[i]) + uint16(below[i])
		}
		out := m.pixels[y*row : (y+1)*row]
		left, middle, right := sums[:row-2*m.c], sums[m.c:row-m.c], sums[2*m.c:]
		inner := here[m.c : row-m.c]
		for i, x := range inner {
			sum := int(left[i]) + int(middle[i]) + int(right[i]) + 4*int(x) // 13 times the mean
			out[m.c+i] = b.mix((2*sum+13)/26, int(x))
		}
	}
}
