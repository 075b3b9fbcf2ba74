package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
)

// archive packs what the jobs made, and a table of what the kernels use. The same results give the same bytes: its
// entries carry no time.
func archive(jobs []job, results []result) ([]byte, error) {
	usage, err := usageTable(jobs, results)
	if err != nil {
		return nil, err
	}
	var to bytes.Buffer
	z := zip.NewWriter(&to)
	add := func(name string, data []byte) error {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return err
		}
		_, err = io.Copy(w, bytes.NewReader(data))
		return err
	}
	for i, j := range jobs {
		if err := add(j.entry(), results[i].image); err != nil {
			return nil, fmt.Errorf("pack %s: %w", j.entry(), err)
		}
	}
	if err := add("ptxas.txt", usage); err != nil {
		return nil, fmt.Errorf("pack ptxas.txt: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return to.Bytes(), nil
}
