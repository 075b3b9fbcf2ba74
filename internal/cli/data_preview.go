package cli

import (
	"bytes"
	"context"
	_ "embed" // the template
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"os"

	"github.com/spf13/cobra"

	"senet/internal/data"
)

// DataPreviewOptions are the flags of `senet data preview`.
type DataPreviewOptions struct {
	Config  ConfigOptions
	Out     string
	Samples int
	Epochs  int
}

// previewPage is what the template shows.
type previewPage struct {
	Title   string
	Epochs  []int
	Samples []previewRow
	Small   bool // images so small that their pixels are to be seen
}

// previewRow is a sample as it is evaluated and as training draws it in each epoch.
type previewRow struct {
	Index     int
	Class     string
	Evaluated template.URL // a PNG as data URI
	Drawn     []template.URL
}

var (
	//go:embed preview.html.tmpl
	previewText     string
	previewTemplate = template.Must(template.New("preview").Parse(previewText))
)

func newDataPreviewCmd(d *deps, run func(context.Context, *deps, DataPreviewOptions) error) *cobra.Command {
	var o DataPreviewOptions
	cmd := &cobra.Command{
		Use: "preview", Short: "Draw training images as a sheet, augmented as training does", Args: cobra.NoArgs,
		Long: `Draw training images as an HTML file: each as an evaluation would see it and as training draws it in
its first epochs, with train.seed and data.augment. They are the very pixels that training sees.`,
		Example: "  senet data preview --config configs/seresnet20-fashion-mnist.yaml --out preview.html",
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.Config.addFlags(cmd)
	cmd.Flags().StringVar(&o.Out, "out", "", "HTML `file` to write (required)")
	cmd.Flags().IntVar(&o.Samples, "samples", 8, "`images`, from all over the data set")
	cmd.Flags().IntVar(&o.Epochs, "epochs", 6, "`epochs` to draw each in")
	_ = cmd.MarkFlagFilename("out", "html")
	return cmd
}

func runDataPreview(ctx context.Context, d *deps, o DataPreviewOptions) error {
	switch {
	case o.Out == "":
		return fmt.Errorf("%w: --out is required, e.g. --out preview.html", errUsage)
	case o.Samples < 1 || o.Epochs < 1 || o.Samples*o.Epochs > 10_000:
		return fmt.Errorf("%w: --samples %d, --epochs %d: want at least 1, and 10000 images at most", errUsage, o.Samples, o.Epochs)
	}
	cfg, src, options, err := trainingImages(o.Config)
	if err != nil {
		return err
	}
	options.BatchSize = 1 // the sheet shows samples, however few there are
	loader, err := data.NewLoader(src, options)
	if err != nil {
		return err
	}
	page, err := newPreview(ctx, src, loader, o)
	if err != nil {
		return err
	}
	page.Title = "Training images of " + cfg.Data.Dir
	var b bytes.Buffer
	if err := previewTemplate.Execute(&b, page); err != nil {
		return fmt.Errorf("preview: %w", err)
	}
	if err := os.WriteFile(o.Out, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	fmt.Fprintf(d.Err, "preview written to %s\n", o.Out)
	return nil
}

func newPreview(ctx context.Context, src data.Source, loader *data.Loader, o DataPreviewOptions) (previewPage, error) {
	h, w, c := src.Shape()
	page := previewPage{Small: w < 100}
	for e := range o.Epochs {
		page.Epochs = append(page.Epochs, e+1)
	}
	pixels := make([]uint8, h*w*c)
	n := min(o.Samples, src.Len())
	for k := range n {
		if err := ctx.Err(); err != nil {
			return page, err
		}
		i := k * src.Len() / n
		label, err := src.Read(i, pixels)
		evaluated, urlErr := pngURL(pixels, h, w, c)
		if err := errors.Join(err, urlErr); err != nil {
			return page, err
		}
		row := previewRow{Index: i, Class: src.Classes()[label], Evaluated: evaluated}
		for e := range o.Epochs {
			_, err := loader.Sample(e, i, pixels)
			drawn, urlErr := pngURL(pixels, h, w, c)
			if err := errors.Join(err, urlErr); err != nil {
				return page, err
			}
			row.Drawn = append(row.Drawn, drawn)
		}
		page.Samples = append(page.Samples, row)
	}
	return page, nil
}

// pngURL is an image (H, W, C) as an address that holds it; C is 1 for grey or 3 for RGB.
func pngURL(pixels []uint8, h, w, c int) (template.URL, error) {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range h * w {
		p := pixels[c*i : c*i+c]
		m.SetNRGBA(i%w, i/w, color.NRGBA{R: p[0], G: p[c/2], B: p[c-1], A: 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		return "", fmt.Errorf("encode PNG: %w", err)
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil
}
