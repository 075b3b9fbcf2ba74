package augment

import (
	"math"
	"slices"
	"strconv"
)

// filter is how an affine op reads between pixels.
type filter uint8

const (
	nearest filter = iota
	bilinear
	bicubic
)

// matrix takes (x, y) of the output to (m[0]*x + m[1]*y + m[2], m[3]*x + m[4]*y + m[5]) of the input,
// where the first pixel's centre is at (0.5, 0.5).
type matrix [6]float64

// rotation is counter-clockwise about the centre. Sine and cosine are rounded to 15 places, as in Pillow.
func rotation(degrees float64, h, w int) matrix {
	turn := math.Mod(degrees, 360)
	if turn < 0 {
		turn += 360
	}
	angle := -(turn * (math.Pi / 180))
	cos, sin := round15(math.Cos(angle)), round15(math.Sin(angle))
	cx, cy := float64(w)/2, float64(h)/2
	return matrix{
		cos, sin, float64(cos*-cx) + float64(sin*-cy) + cx,
		-sin, cos, float64(-sin*-cx) + float64(cos*-cy) + cy,
	}
}

func round15(x float64) float64 {
	var text [24]byte
	rounded, err := strconv.ParseFloat(string(strconv.AppendFloat(text[:0], x, 'f', 15, 64)), 64)
	if err != nil {
		return x
	}
	return rounded
}

// affine replaces m by what a reads of it; what lies outside becomes the fill colour.
func (p *Pipeline) affine(m picture, a matrix, f filter) {
	if f == nearest {
		src := p.keep(m)
		p.flood(m)
		a.nearest(m, src)
		return
	}
	src := p.keepFramed(m)
	p.flood(m)
	a.interpolate(m, src, f)
}

// flood makes all of m the fill colour.
func (p *Pipeline) flood(m picture) {
	for i := 0; i < len(m.pixels); i += m.c {
		copy(m.pixels[i:i+m.c], p.fill[:])
	}
}

// frame is how many copies of the outermost pixels a framed picture has on each side: as many as a cubic reaches.
const frame = 2

// keepFramed is keep with a frame.
func (p *Pipeline) keepFramed(m picture) picture {
	h, w, c := m.h+2*frame, m.w+2*frame, m.c
	p.before = slices.Grow(p.before[:0], h*w*c)[:h*w*c]
	for y := range h {
		from := min(max(y-frame, 0), m.h-1) * m.w * c
		src, dst := m.pixels[from:from+m.w*c], p.before[y*w*c:(y+1)*w*c]
		for x := range frame {
			copy(dst[x*c:], src[:c])
			copy(dst[(w-1-x)*c:], src[len(src)-c:])
		}
		copy(dst[frame*c:], src)
	}
	return picture{p.before, h, w, c}
}

// nearest walks in 16-bit fixed point. Translations are rounded to whole pixels before.
func (a matrix) nearest(dst, src picture) {
	fixed := func(v float64) int { return int(math.Floor(v*65536 + 0.5)) }
	if a[0] == 1 && a[1] == 0 && a[3] == 0 && a[4] == 1 {
		a[2], a[5] = math.Floor(a[2]+0.5), math.Floor(a[5]+0.5)
	}
	startX := fixed(a[2] + float64(a[0]*0.5) + float64(a[1]*0.5))
	startY := fixed(a[5] + float64(a[3]*0.5) + float64(a[4]*0.5))
	right, down := [2]int{fixed(a[0]), fixed(a[3])}, [2]int{fixed(a[1]), fixed(a[4])}
	c, i := src.c, 0
	for y := range dst.h {
		fx, fy := startX+y*down[0], startY+y*down[1]
		for range dst.w {
			if x, y := fx>>16, fy>>16; uint(x) < uint(src.w) && uint(y) < uint(src.h) {
				at := (y*src.w + x) * c
				for k := range c {
					dst.pixels[i+k] = src.pixels[at+k]
				}
			}
			fx, fy, i = fx+right[0], fy+right[1], i+c
		}
	}
}

// interpolate reads every output pixel whose point lies inside the framed src, in float64 and Pillow's order of operations, so that
// the cut to whole levels falls the same way.
func (a matrix) interpolate(dst, src picture, f filter) {
	c, i := src.c, 0
	for y := range dst.h {
		cy := float64(y) + 0.5
		ax, ay := float64(a[1]*cy), float64(a[4]*cy)
		for x := range dst.w {
			cx := float64(x) + 0.5
			px, py := float64(a[0]*cx)+ax+a[2], float64(a[3]*cx)+ay+a[5]
			if px >= 0 && px < float64(dst.w) && py >= 0 && py < float64(dst.h) {
				x0, dx := split(px - 0.5)
				y0, dy := split(py - 0.5)
				from := src.pixels[((y0+frame-1)*src.w+x0+frame-1)*c:]
				if f == bilinear {
					readBilinear(dst.pixels[i:i+c], from[(src.w+1)*c:], src.w*c, dx, dy)
				} else {
					readBicubic(dst.pixels[i:i+c], from, src.w*c, dx, dy)
				}
			}
			i += c
		}
	}
}

// split returns the whole number at or below v, which is at least -1, and the rest.
func split(v float64) (int, float64) {
	whole := int(v)
	if v < 0 {
		whole = -1
	}
	return whole, v - float64(whole)
}

// readBilinear mixes the 2x2 pixels at the start of from, whose rows have so many elements.
func readBilinear(out, from []uint8, row int, dx, dy float64) {
	c := len(out)
	upper, lower := from[:2*c], from[row:row+2*c]
	for k := range out {
		u := line(float64(upper[k]), float64(upper[k+c]), dx)
		l := line(float64(lower[k]), float64(lower[k+c]), dx)
		out[k] = uint8(line(u, l, dy))
	}
}

func line(a, b, d float64) float64 { return a + float64((b-a)*d) }

// readBicubic mixes the 4x4 pixels at the start of from likewise. Shears and translations move points along one axis only, and
// then the cubic along the other would give back the one line of pixels that it reads.
func readBicubic(out, from []uint8, row int, dx, dy float64) {
	c := len(out)
	if dy == 0 {
		r := from[row : row+4*c]
		for k := range out {
			out[k] = clip(int(along(r[k], r[k+c], r[k+2*c], r[k+3*c], dx)))
		}
		return
	}
	r0, r1, r2, r3 := from[:4*c], from[row:row+4*c], from[2*row:2*row+4*c], from[3*row:3*row+4*c]
	if dx == 0 {
		for k := range out {
			out[k] = clip(int(along(r0[k+c], r1[k+c], r2[k+c], r3[k+c], dy)))
		}
		return
	}
	for k := range out {
		v0, v1 := along(r0[k], r0[k+c], r0[k+2*c], r0[k+3*c], dx), along(r1[k], r1[k+c], r1[k+2*c], r1[k+3*c], dx)
		v2, v3 := along(r2[k], r2[k+c], r2[k+2*c], r2[k+3*c], dx), along(r3[k], r3[k+c], r3[k+2*c], r3[k+3*c], dx)
		out[k] = clip(int(cubic(v1, v2-v0, 2*(v0-v1)+v2-v3, v1-v0-v2+v3, dy)))
	}
}

// along is Keys's cubic, with a = -1, through four levels, at d in [0, 1) between b and e.
func along(a, b, e, f uint8, d float64) float64 {
	v0, v1, v2, v3 := int(a), int(b), int(e), int(f)
	return cubic(float64(v1), float64(v2-v0), float64(2*(v0-v1)+v2-v3), float64(v1-v0-v2+v3), d)
}

// cubic is a polynomial in d. The conversions keep a compiler from fusing, which would round once less.
func cubic(p0, p1, p2, p3, d float64) float64 {
	return p0 + float64(d*(p1+float64(d*(p2+float64(d*p3)))))
}
