package kernels

import "fmt"

// TrialBlocks is how many pairs TrialDiffer leaves: some blocks for each multiprocessor, since large maps take a while.
const TrialBlocks = 512

const trialThreads = 256

// TrialFill is the launch that makes count elements of type t at an address numbers in [-1, 1), the same for a seed in every
// type but for rounding.
func TrialFill(t Type, to uint64, count int64, seed int) Launch {
	return trial("trial_fill_"+t.String(), i64(int64(to)), i64(count), i32(seed))
}

// TrialDiffer is the launch that compares count elements of type have at an address with those of type want, F32 or the same
// one, at another. It leaves (TrialBlocks, 2) float32 at most: the greatest distance that each block found, infinite where it is
// no number, and the greatest magnitude wanted.
func TrialDiffer(have, want Type, most, at, wanted uint64, count int64) Launch {
	return trial(fmt.Sprintf("trial_differ_%s_%s", have, want), i64(int64(most)), i64(int64(at)), i64(int64(wanted)), i64(count))
}

// trial is a launch whose threads go round.
func trial(kernel string, args ...Arg) Launch {
	return Launch{Module: "trial", Kernel: kernel, Grid: Dim{X: TrialBlocks}, Block: Dim{X: trialThreads}, Args: args}
}
