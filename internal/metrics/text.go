package metrics

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// family is one metric of Prometheus's text format, version 0.0.4.
type family struct {
	name, kind, help string
	labels           string // with braces, or empty
	value            float64
}

// text is the run in Prometheus's text format. What there is not yet, such as the loss before the first step, is left out.
func (x state) text() []byte {
	var b bytes.Buffer
	for _, f := range x.families() {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s%s %s\n", f.name, f.help, f.name, f.kind, f.name, f.labels, strconv.FormatFloat(f.value, 'g', -1, 64))
	}
	return b.Bytes()
}

func (x state) families() []family {
	const gauge, counter = "gauge", "counter"
	var fs []family
	if rss := residentBytes(); rss > 0 {
		fs = append(fs, family{"process_resident_memory_bytes", gauge, "Resident memory size in bytes.", "", rss})
	}
	if x.run.BatchesPerEpoch == 0 {
		return fs
	}
	info := fmt.Sprintf(`{model="%s",data="%s",device="%s"}`, escape(x.run.Model), escape(x.run.Data), escape(x.run.Device))
	fs = append(fs,
		family{"senet_run_info", gauge, "The run, 1.", info, 1},
		family{"senet_epochs_planned", gauge, "Epochs of the run.", "", float64(x.run.Epochs)},
		family{"senet_batches_per_epoch", gauge, "Steps of an epoch.", "", float64(x.run.BatchesPerEpoch)},
		family{"senet_planned_memory_bytes", gauge, "Memory planned on the device for training and evaluation.", "", float64(x.run.PlannedBytes)},
		family{"senet_images_total", counter, "Training images since this process started.", "", x.images},
		family{"senet_step_seconds_total", counter, "Time in training steps since this process started.", "", x.stepTime.Seconds()},
		family{"senet_data_wait_seconds_total", counter, "Time of that spent waiting for data.", "", x.dataWait.Seconds()},
		family{"senet_skipped_steps_total", counter, "Steps not applied since this process started, as loss or gradients were not finite.", "", x.skipped},
	)
	if s := x.step; s.GlobalStep > 0 {
		fs = append(fs,
			family{"senet_epoch", gauge, "Epoch of the last step, from 1.", "", float64(s.Epoch)},
			family{"senet_step", gauge, "Steps done since the first epoch's start.", "", float64(s.GlobalStep)},
			family{"senet_train_loss", gauge, "Loss of the last step, NaN if it was skipped.", "", s.Loss},
			family{"senet_train_top1_percent", gauge, "Top-1 accuracy of the last step.", "", s.Top1},
			family{"senet_learning_rate", gauge, "Learning rate of the last step.", "", s.LR},
			family{"senet_images_per_second", gauge, "Speed of the last step.", "", float64(s.Images) / s.StepTime.Seconds()},
		)
		if s.LossScale > 0 {
			fs = append(fs, family{"senet_loss_scale", gauge, "Loss scale of the last step.", "", s.LossScale})
		}
	}
	if g := x.step.GPU; g.UsedBytes > 0 {
		fs = append(fs,
			family{"senet_gpu_utilization_percent", gauge, "Share of the last moments in which a kernel ran.", "", g.Utilization},
			family{"senet_gpu_used_memory_bytes", gauge, "Memory of the GPU in use, by all processes.", "", float64(g.UsedBytes)},
		)
	}
	if e := x.epoch; e.Epoch > 0 {
		fs = append(fs,
			family{"senet_val_loss", gauge, "Loss of the last evaluation.", "", e.ValLoss},
			family{"senet_val_top1_percent", gauge, "Top-1 accuracy of the last evaluation.", "", e.ValTop1},
			family{"senet_val_top5_percent", gauge, "Top-5 accuracy of the last evaluation.", "", e.ValTop5},
			family{"senet_best_top1_percent", gauge, "Best top-1 accuracy of an evaluation since this process started.", "", x.best},
		)
	}
	return fs
}

// escape writes s as the value of a label.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}

// residentBytes is the process's resident memory, 0 if it cannot be told.
func residentBytes() float64 {
	text, err := os.ReadFile("/proc/self/statm") // sizes in pages, the second is the resident one
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return 0
	}
	return pages * float64(os.Getpagesize())
}
