package data

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// PackOptions say how images become shards.
type PackOptions struct {
	Name      string // shards are Name-000000.tar and so on
	PerShard  int    // images of each but the last
	Shuffle   bool   // mix the classes, so that each shard has of many
	ShortSide int    // pixels to shrink the shorter side to; 0 keeps every file as it is
	Quality   int    // of JPEGs that were shrunk, 1 to 100
	Workers   int    // shards written at the same time; 0: one per processor
}

// packing is what makes shards what they are; a folder has those of one packing.
type packing struct {
	Version   int    `json:"version"`
	Images    int    `json:"images"`
	Digest    string `json:"digest"` // of names and labels
	PerShard  int    `json:"per_shard"`
	Shuffle   bool   `json:"shuffle"`
	ShortSide int    `json:"short_side"`
	Quality   int    `json:"quality"`
}

// Shards is the number of tars that Pack writes.
func (o PackOptions) Shards(images int) int { return (images + o.PerShard - 1) / o.PerShard }

// Pack writes the images of ix to dir as a WebDataset: shards with key.jpg and key.cls, and ClassesFile. The bytes of a shard depend
// on the images and options alone. Shards that are complete already are left as they are, so that after a crash or
// cancellation Pack goes on where it was. done, if not nil, is told how many shards are through.
func Pack(ctx context.Context, ix *Index, dir string, o PackOptions, done func(shards int)) error {
	if o.PerShard < 1 || o.ShortSide < 0 || o.ShortSide > 0 && (o.Quality < 1 || o.Quality > 100) {
		return fmt.Errorf("pack: cannot make %+v", o)
	}
	if err := preparePack(ix, dir, o); err != nil {
		return fmt.Errorf("pack into %s: %w", dir, err)
	}
	src, err := NewPictures(ix, View{H: 1, W: 1, C: 3, CropFraction: 1})
	if err != nil {
		return err
	}
	order := make([]int, ix.Len())
	for i := range order {
		order[i] = i
	}
	if o.Shuffle {
		order = permutation(0, 0, ix.Len())
	}
	var count atomic.Int64
	return eachOf(ctx, o.Shards(ix.Len()), o.Workers, func() func(int) error {
		p := &packer{reader: src.newReader(), o: o}
		return func(n int) error {
			path := filepath.Join(dir, fmt.Sprintf("%s-%06d.tar", o.Name, n))
			first := n * o.PerShard
			_, err := os.Stat(path)
			if errors.Is(err, fs.ErrNotExist) {
				err = p.shard(ctx, path, first, order[first:min(first+o.PerShard, len(order))])
			}
			if err != nil {
				return fmt.Errorf("pack %s: %w", path, err)
			}
			if n := int(count.Add(1)); done != nil {
				done(n)
			}
			return nil
		}
	})
}

// preparePack makes dir ready: it holds nothing else, and nothing half written.
func preparePack(ix *Index, dir string, o PackOptions) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	is := packing{1, ix.Len(), ix.digest(), o.PerShard, o.Shuffle, o.ShortSide, o.Quality}
	text, err := json.MarshalIndent(is, "", "  ")
	if err != nil {
		return err
	}
	if err := sameOrNew(filepath.Join(dir, o.Name+".pack.json"), append(text, '\n')); err != nil {
		return err
	}
	classes := strings.Join(ix.ids, "\n") + "\n"
	if err := sameOrNew(filepath.Join(dir, ClassesFile), []byte(classes)); err != nil {
		return err
	}
	for _, pattern := range []string{o.Name + "-*.tar", o.Name + ".pack.json", ClassesFile} {
		left, err := filepath.Glob(filepath.Join(dir, "."+pattern+".*.part"))
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameOrNew writes a file that must not be there with another content.
func sameOrNew(path string, content []byte) error {
	have, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return writeAtomic(path, content)
	case err != nil:
		return err
	case !bytes.Equal(have, content):
		return fmt.Errorf("%s is of other images or options: choose another folder", path)
	}
	return nil
}

// digest tells data sets apart by the names and labels of their images.
func (ix *Index) digest() string {
	h := fnv.New128a()
	for _, s := range ix.samples {
		fmt.Fprintf(h, "%s\x00%s\n", s.name, ix.ids[s.label]) // a hash never fails
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// packer writes shards, one after the other.
type packer struct {
	reader *pictureReader
	o      PackOptions
	pixels []uint8 // (H, W, 3)
}

// shard writes a shard of the images at positions first and on of the packing.
func (p *packer) shard(ctx context.Context, path string, first int, images []int) error {
	return replaceFile(path, func(f *os.File) error {
		buffered := bufio.NewWriterSize(f, 1<<20)
		t := tar.NewWriter(buffered)
		for k, i := range images {
			if err := ctx.Err(); err != nil {
				return err
			}
			content, extension, err := p.image(i)
			if err != nil {
				return err
			}
			ix := p.reader.source.Index
			key := fmt.Sprintf("%08d_%s", first+k, stem(ix.samples[i].name))
			if err := add(t, key+extension, content); err != nil {
				return err
			}
			if err := add(t, key+".cls", fmt.Appendln(nil, ix.Label(i))); err != nil {
				return err
			}
		}
		return errors.Join(t.Close(), buffered.Flush())
	})
}

func add(t *tar.Writer, name string, content []byte) error {
	err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o444, Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	_, err = t.Write(content)
	return err
}

// stem is what a key keeps of an image's name, so that people find the image again.
func stem(name string) string {
	name = name[strings.LastIndexAny(name, "/:")+1:]
	name, _, _ = strings.Cut(name, ".")
	keep := func(r rune) rune {
		if r == '-' || r == '_' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			return r
		}
		return '_'
	}
	name = strings.Map(keep, name)
	return name[:min(len(name), 60)]
}

// image returns what a shard has of image i, and its extension.
func (p *packer) image(i int) (content []byte, extension string, err error) {
	if err := p.reader.load(i); err != nil {
		return nil, "", err
	}
	w, h := p.reader.decoder.width, p.reader.decoder.height
	if p.o.ShortSide > 0 && min(w, h) > p.o.ShortSide {
		content, err = p.shrink(i, w, h)
		return content, ".jpg", err
	}
	return p.reader.encoded, extensionOf(p.reader.encoded), nil
}

// extensionOf tells what an image is by how its bytes begin.
func extensionOf(encoded []byte) string {
	for _, c := range []struct{ magic, extension string }{{"\x89PNG", ".png"}, {"GIF8", ".gif"}, {"RIFF", ".webp"}} {
		if bytes.HasPrefix(encoded, []byte(c.magic)) {
			return c.extension
		}
	}
	return ".jpg"
}

// shrink encodes image i, of w by h pixels, anew with its shorter side as long as the options say.
func (p *packer) shrink(i, w, h int) ([]byte, error) {
	side := p.o.ShortSide
	v := View{W: side, H: side, C: 3}
	if w > h {
		v.W = w * side / h
	} else {
		v.H = h * side / w
	}
	p.pixels = slices.Grow(p.pixels[:0], v.H*v.W*v.C)[:v.H*v.W*v.C]
	if err := p.reader.decoder.part(p.reader.decoder.all(), v, false, p.pixels); err != nil {
		return nil, p.reader.named(i, err)
	}
	return encodeJPEG(p.pixels, v.W, v.H, p.o.Quality)
}
