package config

import "testing"

func TestShareOfAnUpdate(t *testing.T) {
	for _, c := range []struct{ size, accumulate, ranks, batch, steps int }{
		{128, 1, 1, 128, 1},
		{128, 1, 8, 16, 1},
		{128, 2, 2, 128, 1}, // whole batches go to different ranks
		{128, 4, 2, 128, 2},
		{128, 2, 4, 64, 1},
		{128, 3, 2, 64, 3},
		{90, 4, 6, 30, 2},
		{1, 7, 7, 1, 1},
	} {
		batch, steps, err := Train{BatchSize: c.size, Accumulate: c.accumulate}.Share(c.ranks)
		if err != nil || batch != c.batch || steps != c.steps {
			t.Errorf("%+v: have %d images in %d steps, error %v", c, batch, steps, err)
		}
		if batch*steps*c.ranks != c.size*c.accumulate {
			t.Errorf("%+v: %d ranks have %d images in an update", c, c.ranks, batch*steps*c.ranks)
		}
	}
}

func TestShareNamesWhatWorks(t *testing.T) {
	for _, c := range []struct {
		size, accumulate, ranks int
		want                    string
	}{
		{100, 1, 3, "train.batch_size 100 with train.accumulate 1 cannot be shared equally by 3 ranks: want a batch_size that 3 divides, " +
			"such as 99 or 102, an accumulate that 3 divides, or another number of ranks, such as 2 or 4"},
		{2, 2, 16, "want a batch_size that 8 divides, such as 8, an accumulate that 16 divides, or another number of ranks, such as 4"},
		{1, 1, 2, "such as 2, an accumulate that 2 divides, or another number of ranks, such as 1"},
	} {
		_, _, err := Train{BatchSize: c.size, Accumulate: c.accumulate}.Share(c.ranks)
		refused(t, err, c.want)
	}
}
