package weights

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"gorgonia.org/tensor"

	"senet/internal/model"
)

// ends reads the number of classes off the classifier and the image's channels off the first convolution.
func ends(ts map[string]*tensor.Dense) (classes, channels int, err error) {
	head := cmp.Or(ts["fc.weight"], ts["last_linear.weight"])
	stem := cmp.Or(ts["conv1.weight"], ts["layer0.conv1.weight"], ts["conv1_7x7_s2.weight"])
	if head == nil || head.Dims() < 2 {
		return 0, 0, errors.New("there is no classifier: tensor \"fc.weight\" or \"last_linear.weight\"")
	}
	if stem == nil || stem.Dims() != 4 {
		return 0, 0, errors.New("there is no first convolution: tensor \"conv1.weight\" or \"layer0.conv1.weight\"")
	}
	return head.Shape()[0], stem.Shape()[1], nil
}

var (
	firstLayer = regexp.MustCompile(`^layer(\d)\.\d+\.se(?:_module)?\.fc1\.weight$`)
	inceptions = regexp.MustCompile(`^inception_(\d)[a-z]_se\.fc1\.weight$`)
)

// block is the first fully connected layer of one SE block.
type block struct{ stage, channels, hidden int }

// excitation reads the form of the SE blocks off their tensors: stages, hidden units and biases.
func excitation(ts map[string]*tensor.Dense) (model.SE, error) {
	var blocks []block
	biases := 0
	for _, name := range slices.Sorted(maps.Keys(ts)) {
		stage := 0
		if m := firstLayer.FindStringSubmatch(name); m != nil {
			stage = int(m[1][0] - '0')
		} else if m := inceptions.FindStringSubmatch(name); m != nil {
			stage = int(m[1][0]-'0') - 2
		} else {
			continue
		}
		s := ts[name].Shape()
		if len(s) < 2 {
			return model.SE{}, fmt.Errorf("tensor %q: want (hidden units, channels), file has %v", name, s)
		}
		blocks = append(blocks, block{stage, s[1], s[0]})
		if ts[name[:len(name)-len("weight")]+"bias"] != nil {
			biases++
		}
	}
	se := model.SE{Reduction: 16, Stages: []int{}}
	if len(blocks) == 0 {
		return se, nil
	}
	if biases != 0 && biases != len(blocks) {
		return model.SE{}, fmt.Errorf("%d of %d SE blocks have biases", biases, len(blocks))
	}
	se, err := width(blocks)
	se.NoBias = biases == 0
	for _, b := range blocks {
		if !slices.Contains(se.Stages, b.stage) {
			se.Stages = append(se.Stages, b.stage)
		}
	}
	return se, err
}

// width finds the rule that gives every block its hidden units: timm's rounded ratio, the plain ratio, or one number for all.
func width(blocks []block) (model.SE, error) {
	for _, divisor := range []int{8, 1} {
		for _, reduction := range []int{16, 2, 4, 8, 32, 64} {
			se := model.SE{Reduction: reduction, Divisor: divisor}
			if !slices.ContainsFunc(blocks, func(b block) bool { return se.HiddenUnits(b.channels) != b.hidden }) {
				return se, nil
			}
		}
	}
	hidden := blocks[0].hidden
	if slices.ContainsFunc(blocks, func(b block) bool { return b.hidden != hidden }) {
		return model.SE{}, fmt.Errorf("no rule gives the hidden units of the SE blocks (stage, channels, hidden units): %v", blocks)
	}
	return model.SE{Hidden: hidden}, nil
}
