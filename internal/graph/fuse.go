package graph

// fuse rewrites every batch norm of the forward nodes together with what follows it,
// an SE block, the addition of the shortcut and a ReLU as far as they are there, into one
// BNSEAddReLU node. An addition's first operand is the residual branch; a shortcut that
// is itself a fresh batch norm (a projection) is folded in as the second affine term.
// Placements of SE that do not match stay unfused around a fused batch norm.
func fuse(p *Program, nodes []*Node) []*Node {
	f := newMatcher(nodes)
	replaced := map[*Node]*Node{} // last node of a match -> the fused node
	gone := map[*Node]bool{}
	for _, bn := range nodes {
		if bn.Op != BatchNorm || gone[bn] || f.isProjection(bn) {
			continue
		}
		m := f.match(bn)
		for _, n := range m.nodes {
			gone[n] = true
		}
		replaced[m.last] = m.fused(p)
	}
	var out []*Node
	for _, n := range nodes {
		if fused := replaced[n]; fused != nil {
			out = append(out, fused)
		} else if !gone[n] {
			out = append(out, n)
		}
	}
	return out
}

// matcher answers who writes and who reads a value.
type matcher struct {
	producer map[*Value]*Node
	readers  map[*Value][]*Node
	position map[*Node]int
}

func newMatcher(nodes []*Node) *matcher {
	f := &matcher{map[*Value]*Node{}, map[*Value][]*Node{}, map[*Node]int{}}
	for i, n := range nodes {
		f.position[n] = i
		for _, v := range n.Out {
			f.producer[v] = n
		}
		for _, v := range n.In {
			if v != nil {
				f.readers[v] = append(f.readers[v], n)
			}
		}
	}
	return f
}

// only returns the sole reader of v if it is op, else nil.
func (f *matcher) only(v *Value, op Op) *Node {
	if rs := f.readers[v]; len(rs) == 1 && rs[0].Op == op {
		return rs[0]
	}
	return nil
}

// tail is one match: a batch norm and what follows it.
type tail struct {
	nodes    []*Node // all matched nodes
	last     *Node
	bn       *Node
	se       *seBlock
	shortcut *Value // input of the addition, or the projection's raw output
	project  *Node  // the shortcut's batch norm, or nil
	relu     bool
}

// seBlock is squeeze, excitation and scale of one value.
type seBlock struct {
	squeeze, fc1, relu, fc2, sigmoid, scale *Node
}

func (f *matcher) match(bn *Node) tail {
	t := tail{nodes: []*Node{bn}, last: bn, bn: bn}
	v := bn.Out[0]
	if se := f.seAfter(v); se != nil {
		t.se = se
		t.take(se.squeeze, se.fc1, se.relu, se.fc2, se.sigmoid, se.scale)
		v = se.scale.Out[0]
	}
	if add := f.only(v, Add); add != nil && add.In[1] != v {
		t.shortcut = add.In[1]
		if f.isProjection(f.producer[t.shortcut]) {
			t.project = f.producer[t.shortcut]
			t.nodes = append(t.nodes, t.project)
			t.shortcut = t.project.In[0]
		}
		t.take(add)
		v = add.Out[0]
	}
	if relu := f.only(v, ReLU); relu != nil {
		t.relu = true
		t.take(relu)
	}
	return t
}

func (t *tail) take(nodes ...*Node) {
	t.nodes = append(t.nodes, nodes...)
	t.last = nodes[len(nodes)-1]
}

// seAfter matches v -> squeeze -> fc1 -> ReLU -> fc2 -> sigmoid -> scale(v, gate), v read by nothing else.
func (f *matcher) seAfter(v *Value) *seBlock {
	rs := f.readers[v]
	if len(rs) != 2 {
		return nil
	}
	squeeze, scale := rs[0], rs[1]
	if squeeze.Op != GlobalAvgPool || scale.Op != Scale {
		return nil
	}
	s := &seBlock{squeeze: squeeze, scale: scale}
	if s.fc1 = f.only(squeeze.Out[0], Linear); s.fc1 == nil {
		return nil
	}
	if s.relu = f.only(s.fc1.Out[0], ReLU); s.relu == nil {
		return nil
	}
	if s.fc2 = f.only(s.relu.Out[0], Linear); s.fc2 == nil {
		return nil
	}
	if s.sigmoid = f.only(s.fc2.Out[0], Sigmoid); s.sigmoid == nil || f.only(s.sigmoid.Out[0], Scale) != scale {
		return nil
	}
	return s
}

// isProjection reports whether n is a batch norm that only serves as the shortcut of an
// addition whose residual branch ends in a batch norm of its own, with SE or without.
func (f *matcher) isProjection(n *Node) bool {
	if n == nil || n.Op != BatchNorm {
		return false
	}
	add := f.only(n.Out[0], Add)
	if add == nil || add.In[1] != n.Out[0] || add.In[0] == n.Out[0] || len(f.readers[add.In[0]]) != 1 {
		return false
	}
	main := f.producer[add.In[0]]
	if main != nil && main.Op == Scale {
		main = f.producer[main.In[0]]
		return main != nil && main.Op == BatchNorm && f.seAfter(main.Out[0]) != nil
	}
	return main != nil && main.Op == BatchNorm
}

// fused builds the node of a match. Its first output is the last matched node's, so readers need no change.
func (t tail) fused(p *Program) *Node {
	bn := t.bn
	attr := BNSEAddReLUAttr{Eps: bn.Attr.(BatchNormAttr).Eps, ReLU: t.relu, Sync: bn.Attr.(BatchNormAttr).Sync}
	in, out := make([]*Value, tailInputs), make([]*Value, tailOutputs)
	in[TailY], in[TailGamma], in[TailBeta] = bn.In[0], bn.In[1], bn.In[2]
	out[TailOut], out[TailMean], out[TailVar] = t.last.Out[0], bn.Out[1], bn.Out[2]
	if t.se != nil {
		in[TailW1], in[TailB1] = t.se.fc1.In[1], t.se.fc1.In[2]
		in[TailW2], in[TailB2] = t.se.fc2.In[1], t.se.fc2.In[2]
		out[TailImageMean] = p.activation(bn.Name+" image mean", t.se.squeeze.Out[0].Shape)
		out[TailHidden], out[TailGate] = t.se.relu.Out[0], t.se.sigmoid.Out[0]
	}
	in[TailShortcut] = t.shortcut
	if t.project != nil {
		attr.ShortcutEps = t.project.Attr.(BatchNormAttr).Eps
		in[TailShortcutGamma], in[TailShortcutBeta] = t.project.In[1], t.project.In[2]
		out[TailShortcutMean], out[TailShortcutVar] = t.project.Out[1], t.project.Out[2]
	}
	return &Node{Op: BNSEAddReLU, Name: bn.Name, Attr: attr, In: in, Out: out}
}
