// Compares the handles and constants of mpi.c with those of a library's own mpi.h, which the compiler is told as MPI_H, as is the
// library's name as MPI_LIBRARY.
#include "../mpi.c"
#include MPI_H

int main(void) {
  senet_mpi* m;
  char version[64];
  senet_mpi_error e;
  if (senet_mpi_open(MPI_LIBRARY, &m, version, sizeof version, &e)) {
    printf("%s\n", e.text);
    return 1;
  }
  const struct {
    const char* name;
    intptr_t have, want;
  } constants[] = {
      {"MPI_COMM_WORLD", m->abi.comm_world, (intptr_t)MPI_COMM_WORLD},
      {"MPI_BYTE", m->abi.byte, (intptr_t)MPI_BYTE},
      {"MPI_INT", m->abi.int32, (intptr_t)MPI_INT},
      {"MPI_FLOAT", m->abi.float32, (intptr_t)MPI_FLOAT},
      {"MPI_SUM", m->abi.sum, (intptr_t)MPI_SUM},
      {"MPI_ERRORS_RETURN", m->abi.errors_return, (intptr_t)MPI_ERRORS_RETURN},
      {"MPI_IN_PLACE", m->abi.in_place, (intptr_t)MPI_IN_PLACE},
      {"MPI_STATUS_IGNORE", m->abi.status_ignore, (intptr_t)MPI_STATUS_IGNORE},
      {"MPI_THREAD_FUNNELED", 1, MPI_THREAD_FUNNELED},
      {"MPI_SUCCESS", 0, MPI_SUCCESS},
  };
  int wrong = 0;
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
    if (constants[i].have == constants[i].want) continue;
    printf("%s: %#lx, mpi.h has %#lx\n", constants[i].name, (long)constants[i].have, (long)constants[i].want);
    wrong++;
  }
  printf("%s: %d of %zu differ\n", version, wrong, sizeof constants / sizeof *constants);
  return wrong > 0;
}
