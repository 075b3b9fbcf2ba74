// MPI, opened at run time: what mpi.go sees of it. No mpi.h is needed, whose handles and constants differ between the two binary
// interfaces there are: of Open MPI, and of MPICH, which Intel's and Cray's libraries have too. Functions return 0, or else put a
// message into *e. All but senet_mpi_open are called on the thread that called senet_mpi_init.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct senet_mpi senet_mpi;  // the library

typedef struct {
  char text[1024];
} senet_mpi_error;

// Opens the library at path and tells its version, cut to capacity bytes.
int senet_mpi_open(const char* path, senet_mpi** out, char* version, size_t capacity, senet_mpi_error* e);
// Starts MPI, in which this process is a rank of size.
int senet_mpi_init(senet_mpi* m, int* rank, int* size, senet_mpi_error* e);
int senet_mpi_finalize(senet_mpi* m, senet_mpi_error* e);
// Ends all ranks; returns only where that fails.
int senet_mpi_abort(senet_mpi* m, int code, senet_mpi_error* e);

// These start an operation, which senet_mpi_test tells to be over; its memory must stay in place until then. Every rank starts the
// same ones in the same order; those of gather and of sum are not ordered among each other.

// Replaces the elements of x (count) by their sums over all ranks.
int senet_mpi_sum(senet_mpi* m, float* x, int count, intptr_t* request, senet_mpi_error* e);
// Puts one number of each rank into all (size).
int senet_mpi_gather_int(senet_mpi* m, const int32_t* mine, int32_t* all, intptr_t* request, senet_mpi_error* e);
// Puts count bytes of each rank into all, those of rank r, which are counts[r], at offsets[r].
int senet_mpi_gather_bytes(senet_mpi* m, const void* mine, int count, void* all, const int32_t* counts,
                           const int32_t* offsets, intptr_t* request, senet_mpi_error* e);

// Lets what was started go on; *done says whether the operation of request is over, and then request is no more.
int senet_mpi_test(senet_mpi* m, intptr_t* request, int* done, senet_mpi_error* e);
