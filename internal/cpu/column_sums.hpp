// column_sums: sums (n) over the rows of a (m, n), the gradient of a bias. Caller: linear.go.
void column_sums(const senet_column_sums_args& t) {
  for (int j = 0; j < t.n; j++) t.sums[j] = 0;
  for (int i = 0; i < t.m; i++)
    for (int j = 0; j < t.n; j++) t.sums[j] += t.a[int64_t(i) * t.n + j];
}
