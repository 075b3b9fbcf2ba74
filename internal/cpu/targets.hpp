// What a loss wants of a row of k classes: (1 - e) (share onehot(label) + (1 - share) onehot(mixed)) + e/k, e the smoothing. Without
// mixing the share is 1. A label of -1 leaves the row out; one that is no class makes everything NaN.
struct Targets {
  int label, mixed;
  double first, second, rest;  // of the label, of the mixed one, of every class

  Targets(const senet_loss_args& t, int row) : label(t.labels[row]), mixed(t.mixed ? t.mixed[row] : label) {
    const double share = t.share ? t.share[row] : 1;
    const bool known = label < t.k && mixed >= 0 && mixed < t.k;
    first = known ? (1 - double(t.smoothing)) * share : double(NAN);
    second = (1 - double(t.smoothing)) * (1 - share);
    rest = double(t.smoothing) / t.k + 0 * first;
  }

  double at(int j) const { return rest + (j == label ? first : 0) + (j == mixed ? second : 0); }
};

static inline int counted(const senet_loss_args& t) {
  int count = 0;
  for (int i = 0; i < t.n; i++) count += t.labels[i] >= 0;
  return count;
}
