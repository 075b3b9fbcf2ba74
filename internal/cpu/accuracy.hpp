// accuracy: correct (3) = rows counted, rows whose label (n) ranks first among the logits (n, k), and among the first five.
// Of equal logits the lower index ranks before; a NaN logit, or none, at the label is never right. Caller: loss.go.
void accuracy(const senet_accuracy_args& t) {
  int counted = 0, top1 = 0, top5 = 0;
  for (int i = 0; i < t.n; i++) {
    const int label = t.labels[i];
    if (label < 0) continue;
    counted++;
    const float* x = t.logits + int64_t(i) * t.k;
    if (label >= t.k || x[label] != x[label]) continue;
    int before = 0;
    for (int j = 0; j < t.k; j++) before += x[j] > x[label] || (x[j] == x[label] && j < label);
    top1 += before < 1;
    top5 += before < 5;
  }
  t.correct[0] = counted;
  t.correct[1] = top1;
  t.correct[2] = top5;
}
