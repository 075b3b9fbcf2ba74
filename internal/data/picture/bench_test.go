package picture

import (
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkCorpus measures what bench/data_compare.py compares with others: the mean over the files of the folder in
// SENET_CORPUS, each with a box of boxes.json, bilinearly resized to 224 x 224.
func BenchmarkCorpus(b *testing.B) {
	folder := os.Getenv("SENET_CORPUS")
	if folder == "" {
		b.Skip("SENET_CORPUS names no folder")
	}
	var corpus []struct {
		File string
		Box  [4]int
	}
	text, err := os.ReadFile(filepath.Join(folder, "boxes.json"))
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(text, &corpus); err != nil {
		b.Fatal(err)
	}
	contents := map[string][]uint8{}
	for _, c := range corpus {
		if contents[c.File], err = os.ReadFile(filepath.Join(folder, c.File)); err != nil {
			b.Fatal(err)
		}
	}
	var d Decoder
	const side = 224
	pixels := make([]uint8, side*side*3)
	for _, fast := range []bool{false, true} {
		name := "exact"
		if fast {
			name = "fast"
		}
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				c := corpus[i%len(corpus)]
				v := View{Box: image.Rect(c.Box[0], c.Box[1], c.Box[2], c.Box[3]), W: side, H: side, Window: image.Rect(0, 0, side, side), Fast: fast}
				if err := d.Decode(contents[c.File], v, 3, pixels); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
