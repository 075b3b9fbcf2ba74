package ref

import "slices"

// fullyConnected is out (N, O) = x (N, I) w' + bias with w (O, I); bias (O) may be nil.
func fullyConnected(out, x, w, bias []float64, n int) {
	inputs, outputs := len(x)/n, len(out)/n
	for i := range out {
		xs, ws := x[i/outputs*inputs:][:inputs], w[i%outputs*inputs:][:inputs]
		out[i] = 0
		if bias != nil {
			out[i] = bias[i%outputs]
		}
		for j := range inputs {
			out[i] += xs[j] * ws[j]
		}
	}
}

// fullyConnectedGrad adds up the gradients of fullyConnected; dx, dw and db may be nil.
func fullyConnectedGrad(dx, dw, db, dy, x, w []float64, n int) {
	inputs, outputs := len(x)/n, len(dy)/n
	clear(dx)
	clear(dw)
	clear(db)
	for i, g := range dy {
		row, column := i/outputs, i%outputs
		if db != nil {
			db[column] += g
		}
		for j := range inputs {
			if dx != nil {
				dx[row*inputs+j] += g * w[column*inputs+j]
			}
			if dw != nil {
				dw[column*inputs+j] += g * x[row*inputs+j]
			}
		}
	}
}

func linear(o operands) {
	fullyConnected(o.out[0], o.in[0], o.in[1], o.in[2], o.node.In[0].Shape[0])
}

func linearGrad(o operands) {
	fullyConnectedGrad(o.out[0], o.out[1], o.out[2], o.in[0], o.in[1], o.in[2], o.node.In[0].Shape[0])
}

// excite is gate (N, C) = sigmoid(w2 relu(w1 z + b1) + b2); it leaves the hidden units after ReLU (N, R) in hidden.
func excite(gate, hidden, z, w1, b1, w2, b2 []float64, n int) {
	fullyConnected(hidden, z, w1, b1, n)
	expand(gate, hidden, w2, b2, n)
}

// expand is gate (N, C) = sigmoid(w2 relu(hidden) + b2), the ReLU in place.
func expand(gate, hidden, w2, b2 []float64, n int) {
	for i, h := range hidden {
		hidden[i] = max(h, 0)
	}
	fullyConnected(gate, hidden, w2, b2, n)
	for i, g := range gate {
		gate[i] = logistic(g)
	}
}

func excitation(o operands) {
	expand(o.out[0], slices.Clone(o.in[0]), o.in[1], o.in[2], o.node.In[0].Shape[0])
}
