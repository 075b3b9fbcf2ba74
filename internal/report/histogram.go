package report

import (
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// histogramBuckets is how many TensorBoard draws at the most.
const histogramBuckets = 30

// Field numbers of HistogramProto, tensorflow/tsl/protobuf/histogram.proto.
const (
	histoMin         = 1
	histoMax         = 2
	histoNum         = 3
	histoSum         = 4
	histoSumSquares  = 5
	histoBucketLimit = 6
	histoBucket      = 7
)

// histogram is the HistogramProto of the finite ones of values, in buckets of equal width.
func histogram(values []float32) []byte {
	var xs []float64
	sum, squares := 0.0, 0.0
	for _, v := range values {
		if x := float64(v); finite(x) {
			xs = append(xs, x)
			sum += x
			squares += x * x
		}
	}
	if xs == nil {
		return nil
	}
	low, high := slices.Min(xs), slices.Max(xs)
	n := histogramBuckets
	if low == high {
		n = 1
	}
	limits, counts := make([]float64, n), make([]float64, n)
	width := (high - low) / float64(n)
	for i := range limits {
		limits[i] = low + width*float64(i+1)
	}
	limits[n-1] = high
	for _, x := range xs {
		i := n - 1 // of the greatest, and of all if they are equal
		if x < high {
			i = min(int((x-low)/width), i)
		}
		counts[i]++
	}
	var b []byte
	for _, f := range []struct {
		number protowire.Number
		value  float64
	}{{histoMin, low}, {histoMax, high}, {histoNum, float64(len(xs))}, {histoSum, sum}, {histoSumSquares, squares}} {
		b = appendDouble(protowire.AppendTag(b, f.number, protowire.Fixed64Type), f.value)
	}
	b = protowire.AppendBytes(protowire.AppendTag(b, histoBucketLimit, protowire.BytesType), doubles(limits))
	return protowire.AppendBytes(protowire.AppendTag(b, histoBucket, protowire.BytesType), doubles(counts))
}

// doubles are the bytes of a packed field.
func doubles(xs []float64) []byte {
	var b []byte
	for _, x := range xs {
		b = appendDouble(b, x)
	}
	return b
}

func appendDouble(b []byte, x float64) []byte { return protowire.AppendFixed64(b, math.Float64bits(x)) }
