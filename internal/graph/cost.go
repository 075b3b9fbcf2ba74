package graph

// Cost counts what one run of a forward node takes.
type Cost struct {
	Params     int64 // trained elements, counted at the node that reads them first
	FLOPs      int64 // multiply-adds, the convention of the ResNet and SE papers (ResNet-50: 3.86 G at stride 1x1, 4.11 G at 3x3)
	Activation int64 // bytes written in float32
}

// CostOf counts a forward node. Convolutions and fully connected layers count one multiply-add per
// weight use; global pooling, scale and sigmoid one operation per element; batch norm, add, ReLU
// and windowed pooling count nothing, following the papers.
func CostOf(n *Node) Cost {
	var c Cost
	for _, v := range n.In {
		if v != nil && v.Role == Param {
			c.Params += int64(v.Shape.Elems())
		}
	}
	if n.Out[0] != nil {
		c.Activation = n.Out[0].Bytes()
	}
	switch n.Op {
	case Conv:
		c.FLOPs = int64(n.Out[0].Shape.Elems()) * int64(n.In[1].Shape[1:].Elems())
	case Linear:
		c.FLOPs = int64(n.Out[0].Shape.Elems()) * int64(n.In[1].Shape[1])
	case GlobalAvgPool, GlobalMaxPool, Scale:
		c.FLOPs = int64(n.In[0].Shape.Elems())
	case Sigmoid, HardSigmoid, Tanh:
		c.FLOPs = int64(n.Out[0].Shape.Elems())
	}
	return c
}
