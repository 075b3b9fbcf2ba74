package data

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
)

// maxMembers bounds the members of one tar: ImageNet's largest has 50000.
const maxMembers = 1 << 24

// tarBlock is what headers and contents of a tar are padded to, in bytes.
const tarBlock = 512

// scanTar tells each the name of every regular file of the tar in size bytes of r, and the range of bytes where its
// content lies. A tar that is damaged or cut short, that holds anything but regular files and folders, or whose names
// lead out of it is refused, although nothing here ever extracts it: no data set is made so.
func scanTar(r io.ReaderAt, size int64, each func(name string, offset, size int64) error) error {
	section := io.NewSectionReader(r, 0, size) // seeks, so that contents are skipped, not read
	t := tar.NewReader(section)
	end := int64(0) // of the last content, padded
	for n := 0; ; n++ {
		h, err := t.Next()
		at, _ := section.Seek(0, io.SeekCurrent) // cannot fail
		if errors.Is(err, io.EOF) {
			if at <= end {
				return fmt.Errorf("cut short after %d members: has no end mark", n)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d members: %w", n, err)
		}
		if n == maxMembers {
			return fmt.Errorf("more than %d members", maxMembers)
		}
		name, skip, err := checkMember(h)
		if err != nil {
			return fmt.Errorf("member %.200q: %w", h.Name, err)
		}
		if h.Size > size-at {
			return fmt.Errorf("member %q: cut short: %d of %d bytes", name, max(size-at, 0), h.Size)
		}
		end = at
		if skip {
			continue
		}
		end = at + (h.Size+tarBlock-1)/tarBlock*tarBlock
		if err := each(name, at, h.Size); err != nil {
			return fmt.Errorf("member %q: %w", name, err)
		}
	}
}

// checkMember returns a member's name, and whether it is to be left out as it is no file.
func checkMember(h *tar.Header) (name string, skip bool, err error) {
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir:
		skip = true
	case tar.TypeXGlobalHeader:
		return "", true, nil
	case tar.TypeSymlink, tar.TypeLink:
		return "", false, fmt.Errorf("is a link to %.200q, want a regular file", h.Linkname)
	default:
		return "", false, fmt.Errorf("is of type %q, want a regular file", h.Typeflag)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return "", false, errors.New("is a sparse file")
		}
	}
	if !filepath.IsLocal(h.Name) || strings.Contains(h.Name, `\`) || !isPrintable(h.Name) {
		return "", false, errors.New("its name leads out of the tar or cannot be shown")
	}
	return path.Clean(h.Name), skip, nil
}
