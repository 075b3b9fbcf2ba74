package weights

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"gorgonia.org/tensor"
)

// Dialect is the way a library names and shapes the tensors of these networks.
type Dialect string

// The dialects that Import knows.
const (
	Timm      Dialect = "timm"              // and torchvision, whose ResNets have no SE blocks
	Cadene    Dialect = "pretrained-models" // timm's legacy_* networks, BN-Inception
	NVIDIA    Dialect = "nvidia"            // DeepLearningExamples' SE-ResNeXt
	Moskomule Dialect = "moskomule"         // senet.pytorch

)

// rename rewrites a part of a tensor's name.
type rename struct {
	from *regexp.Regexp
	to   func(match []string) string
}

func replaced(from, to string) rename {
	return rename{regexp.MustCompile(from), func([]string) string { return to }}
}

// dialects lists how each is recognised and turned into the names of internal/model, the most particular first.
var dialects = []struct {
	name    Dialect
	mark    *regexp.Regexp // a name that only this dialect has
	renames []rename
}{
	{NVIDIA, regexp.MustCompile(`\.squeeze\.(squeeze|expand)\.`), []rename{
		{regexp.MustCompile(`^layers\.(\d)\.`), func(m []string) string { return fmt.Sprintf("layer%c.", m[1][0]+1) }},
		replaced(`\.squeeze\.squeeze\.`, ".se.fc1."),
		replaced(`\.squeeze\.expand\.`, ".se.fc2."),
	}},
	{Moskomule, regexp.MustCompile(`\.se\.fc\.[02]\.`), []rename{
		replaced(`\.se\.fc\.0\.`, ".se.fc1."),
		replaced(`\.se\.fc\.2\.`, ".se.fc2."),
	}},
	{Cadene, regexp.MustCompile(`^last_linear\.|\.se_module\.`), nil},
	{Timm, regexp.MustCompile(`^fc\.`), nil},
}

// wrappers are what training scripts put around a state dict. Of a file that has both, the exponential moving average is taken, as
// timm does.
var wrappers = []string{"state_dict_ema.", "model_ema.", "state_dict.", "model."}

// unwrap strips wrappers and the prefixes that PyTorch's own wrappers add to every name.
func unwrap(ts map[string]*tensor.Dense) map[string]*tensor.Dense {
	for _, w := range wrappers {
		if inner := under(ts, w); len(inner) > 0 {
			ts = inner
			break
		}
	}
	for _, prefix := range []string{"module.", "_orig_mod.", "module."} {
		if inner := under(ts, prefix); len(inner) == len(ts) {
			ts = inner
		}
	}
	return ts
}

// under are the tensors below a prefix, without it.
func under(ts map[string]*tensor.Dense, prefix string) map[string]*tensor.Dense {
	out := map[string]*tensor.Dense{}
	for name, t := range ts {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out[rest] = t
		}
	}
	return out
}

// translate recognises the dialect of a state dict and gives its tensors the names and shapes of internal/model. renamed maps
// the new name of each tensor to its old one where they differ.
func translate(ts map[string]*tensor.Dense) (_ Dialect, out map[string]*tensor.Dense, renamed map[string]string, err error) {
	ts = unwrap(ts)
	names := slices.Sorted(maps.Keys(ts))
	for _, d := range dialects {
		if !slices.ContainsFunc(names, d.mark.MatchString) {
			continue
		}
		out, renamed = map[string]*tensor.Dense{}, map[string]string{}
		for _, old := range names {
			name := old
			for _, r := range d.renames {
				if m := r.from.FindStringSubmatchIndex(name); m != nil {
					name = name[:m[0]] + r.to(r.from.FindStringSubmatch(name)) + name[m[1]:]
				}
			}
			if out[name] != nil {
				return "", nil, nil, fmt.Errorf("tensors %q and %q are both %q", renamed[name], old, name)
			}
			out[name] = ts[old]
			if name != old {
				renamed[name] = old
			}
		}
		return d.name, out, renamed, nil
	}
	return "", nil, nil, fmt.Errorf("no known dialect: the first tensors are %q", names[:min(3, len(names))])
}
