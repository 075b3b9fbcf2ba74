package augment

// kind is what an op does to an image.
type kind uint8

// The kinds, with the meaning of an op's value.
const (
	identity     kind = iota
	autoContrast      // stretches each channel to 0..255
	equalize          // flattens each channel's histogram
	invert            // 255 - x
	posterize         // bits kept, 0 to 8
	solarize          // inverts from this threshold on
	solarizeAdd       // adds this to what lies below 128
	brightness        // factor towards black (0), 1 changes nothing
	contrast          // factor towards the mean grey
	color             // factor towards grey of the same luma
	sharpness         // factor towards the smoothed image
	hue               // levels of 256 that the hue moves on
	rotate            // degrees counter-clockwise about the centre
	shearX            // an output pixel reads value*y further right
	shearY            // value*x further down
	translateX        // an output pixel reads value pixels further right
	translateY        // further down
)

// op is one change to one image.
type op struct {
	kind   kind
	value  float64
	filter filter // of the affine ones
}

// run applies o to m in place. What a kind of one channel cannot change stays as it is.
func (p *Pipeline) run(o op, m picture) {
	switch o.kind {
	case autoContrast:
		m.perChannel(stretched)
	case equalize:
		m.perChannel(equalized)
	case invert:
		m.look(solarized(0))
	case posterize:
		m.look(posterized(int(o.value)))
	case solarize:
		m.look(solarized(o.value))
	case solarizeAdd:
		m.look(added(int(o.value)))
	case brightness:
		m.look(blended(0, o.value))
	case contrast:
		m.look(blended(m.meanLuma(), o.value))
	case color:
		m.saturate(o.value)
	case sharpness:
		p.sharpen(m, o.value)
	case hue:
		m.turn(uint8(int(o.value)))
	case rotate:
		p.affine(m, rotation(o.value, m.h, m.w), o.filter)
	case shearX:
		p.affine(m, matrix{1, o.value, 0, 0, 1, 0}, o.filter)
	case shearY:
		p.affine(m, matrix{1, 0, 0, o.value, 1, 0}, o.filter)
	case translateX:
		p.affine(m, matrix{1, 0, o.value, 0, 1, 0}, o.filter)
	case translateY:
		p.affine(m, matrix{1, 0, 0, 0, 1, o.value}, o.filter)
	}
}
