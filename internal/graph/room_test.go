package graph

import (
	"fmt"
	"testing"
)

func TestLargestListsBuffersBySize(t *testing.T) {
	p := &Program{}
	x := p.value(Value{Name: "x", Shape: Shape{1, 4, 8, 8}, Role: State})
	p.value(Value{Name: "unused", Shape: Shape{9, 9, 9, 9}, Role: Param})
	big := p.activation("big", Shape{1, 16, 8, 8})
	over := p.activation("over", Shape{1, 16, 8, 8}) // overwrites big
	small := p.activation("small", Shape{3})
	p.emit(Step, &Node{Op: Conv, In: []*Value{x}, Out: []*Value{big}})
	p.emit(Step, &Node{Op: ReLU, In: []*Value{big}, Out: []*Value{over}})
	p.emit(Step, &Node{Op: GlobalAvgPool, In: []*Value{over}, Out: []*Value{small}})
	want := "[{big (1, 16, 8, 8) 4096} {x (1, 4, 8, 8) 1024} {small (3) 64}]"
	if have := fmt.Sprint(Largest(p, (*Value).Bytes, 5)); have != want {
		t.Errorf("have %s, want %s", have, want)
	}
	if have := fmt.Sprint(Largest(p, (*Value).Bytes, 1)); have != "[{big (1, 16, 8, 8) 4096}]" {
		t.Errorf("have %s, want big alone", have)
	}
	half := func(v *Value) int64 { return v.Bytes() / 2 }
	if have := Largest(p, half, 1)[0].Bytes; have != 2048 {
		t.Errorf("%d bytes in a layout of half the size", have)
	}
}

func TestBatchThatFits(t *testing.T) {
	const fixed, image = 1000, 70
	bytes := func(n int) int64 { return fixed + image*int64(n) }
	for _, c := range []struct {
		free int64
		want int
	}{{0, 0}, {fixed, 0}, {bytes(1) - 1, 0}, {bytes(1), 1}, {bytes(2) - 1, 1}, {bytes(13), 13}, {bytes(64), 64}} {
		if have := BatchThatFits(16, bytes(16), 32, bytes(32), c.free); have != c.want {
			t.Errorf("%d bytes: %d images, want %d", c.free, have, c.want)
		}
	}
	if have := BatchThatFits(1, 500, 2, 500, 400); have != 0 {
		t.Errorf("%d images fit where memory does not depend on them", have)
	}
}
