package onnx

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a protocol buffer message being encoded. The field numbers below are those of onnx.proto (IR version 8).
type message []byte

func (m *message) bytes(field protowire.Number, b []byte) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendBytes(*m, b)
}

func (m *message) text(field protowire.Number, s string) { m.bytes(field, []byte(s)) }

func (m *message) integer(field protowire.Number, i int64) {
	*m = protowire.AppendTag(*m, field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(i))
}

func (m *message) float(field protowire.Number, f float32) {
	*m = protowire.AppendTag(*m, field, protowire.Fixed32Type)
	*m = protowire.AppendFixed32(*m, math.Float32bits(f))
}

// Values of TensorProto.DataType and AttributeProto.AttributeType.
const (
	typeFloat = 1

	attributeFloat = 1
	attributeInt   = 2
	attributeInts  = 7
)

// attribute is one AttributeProto; value is a float32, an int or a list of ints.
type attribute struct {
	name  string
	value any
}

func (a attribute) encode() message {
	var m message
	m.text(1, a.name)
	switch v := a.value.(type) {
	case float32:
		m.float(2, v)
		m.integer(20, attributeFloat)
	case int:
		m.integer(3, int64(v))
		m.integer(20, attributeInt)
	case []int:
		for _, i := range v {
			m.integer(8, int64(i))
		}
		m.integer(20, attributeInts)
	}
	return m
}

// node is one NodeProto.
func node(op, name string, in []string, out string, attributes ...attribute) message {
	var m message
	for _, i := range in {
		m.text(1, i)
	}
	m.text(2, out)
	m.text(3, name)
	m.text(4, op)
	for _, a := range attributes {
		m.bytes(5, a.encode())
	}
	return m
}

// constant is one TensorProto of float32 data, row-major.
func constant(name string, shape []int, data []float32) message {
	var m message
	for _, d := range shape {
		m.integer(1, int64(d))
	}
	m.integer(2, typeFloat)
	m.text(8, name)
	raw := make([]byte, 0, 4*len(data))
	for _, x := range data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	m.bytes(9, raw)
	return m
}

// port is one ValueInfoProto of float32 data whose first dimension is the batch, of any size.
func port(name string, shape []int) message {
	var dims, batch, tensorType, typ, m message
	batch.text(2, "batch")
	dims.bytes(1, batch)
	for _, d := range shape {
		var dim message
		dim.integer(1, int64(d))
		dims.bytes(1, dim)
	}
	tensorType.integer(1, typeFloat)
	tensorType.bytes(2, dims)
	typ.bytes(1, tensorType)
	m.text(1, name)
	m.bytes(2, typ)
	return m
}
